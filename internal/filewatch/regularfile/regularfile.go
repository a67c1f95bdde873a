// Package regularfile reads regular files of limited size.
//
// Operators configure file names, and a name may refer to a named pipe, where opening
// waits for a writer, or to a device, where reading may never end.
package regularfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxBytes is the size of the largest file that certgate reads.
const MaxBytes = 16 << 20

// Content is the content of a file with its metadata.
type Content struct {
	Text []byte
	Info fs.FileInfo // of the open file, after reading
}

// File is the result of reading a file: its text or the error.
type File struct {
	Name string
	Text []byte
	Err  error
}

// Read reads a whole file of at most limit bytes. It follows symbolic links. It returns an
// error for anything except a regular file, without blocking. An unresponsive file system,
// such as NFS without its server, can still block it.
//
// The error is a [*fs.PathError] whose Err does not contain the name.
func Read(name string, limit int64) (Content, error) {
	// The check precedes opening, because opening some devices and pipes has side effects.
	if info, err := os.Stat(name); err != nil {
		return Content{}, err
	} else if err := checkMode(name, info); err != nil {
		return Content{}, err
	}
	// read checks the mode again, because the name may refer to another file by now.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Content{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return read(f, limit)
}

// read reads an open file of any type.
func read(f *os.File, limit int64) (Content, error) {
	info, err := f.Stat()
	if err != nil {
		return Content{}, err
	}
	if err := checkMode(f.Name(), info); err != nil {
		return Content{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return Content{}, err
	}
	if int64(len(text)) > limit {
		return Content{}, &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("more than %d bytes", limit)}
	}
	info, err = f.Stat()
	if err != nil {
		return Content{}, err
	}
	return Content{text, info}, nil
}

// checkMode returns an error unless the file is regular.
func checkMode(name string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%s, not a regular file", typeName(info.Mode()))}
}

// typeName returns the name of the type of a file that is not regular.
func typeName(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	default:
		return "special file"
	}
}
