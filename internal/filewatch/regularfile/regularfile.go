// Package regularfile reads the files that an operator names.
//
// It reads regular files only, and a bounded number of bytes. Opening a named
// pipe would wait for a writer, and reading a device may never end.
package regularfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxBytes is the largest file that certgate reads.
const MaxBytes = 16 << 20

// Content is a file as one reading found it.
type Content struct {
	Text []byte
	Info fs.FileInfo // of the open file, after the reading
}

// File is what reading a file gave: its text, or the reason why there is none.
type File struct {
	Name string
	Text []byte
	Err  error
}

// Read reads the whole file of at most limit bytes. It follows symbolic links
// and refuses everything that is no regular file, without waiting for it. A file
// system that does not answer, such as NFS without its server, can still delay it.
//
// The error is a [*fs.PathError] whose Err does not contain the name.
func Read(name string, limit int64) (Content, error) {
	// Before opening, because opening some devices and pipes has an effect.
	if info, err := os.Stat(name); err != nil {
		return Content{}, err
	} else if err := checkMode(name, info); err != nil {
		return Content{}, err
	}
	// Another file may have the name by now.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Content{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return read(f, limit)
}

// read reads an open file that may be anything.
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

func checkMode(name string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%s, not a regular file", kind(info.Mode()))}
}

// kind names the type of a file that is not regular.
func kind(m fs.FileMode) string {
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
