//go:build unix

package regularfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fixture creates a folder with one file of each type.
func fixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "file"), []byte("0123456789"), 0o600),
		os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600),
		os.Mkdir(filepath.Join(dir, "directory"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.Symlink("file", filepath.Join(dir, "link")),
		os.Symlink("pipe", filepath.Join(dir, "link-to-pipe")),
		os.Symlink("/dev/zero", filepath.Join(dir, "link-to-device")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := fixture(t)
	tests := []struct {
		name  string
		limit int64
		want  string
		err   string
	}{
		{"file", 10, "0123456789", ""},
		{"link", MaxBytes, "0123456789", ""},
		{"empty", 0, "", ""},
		{"file", 9, "", "more than 9 bytes"},
		{"directory", 10, "", "is a directory"},
		{"pipe", 10, "", "named pipe, not a regular file"},
		{"link-to-pipe", 10, "", "named pipe, not a regular file"},
		{"link-to-device", 10, "", "device, not a regular file"},
		{"socket", 10, "", "socket, not a regular file"},
		{"missing", 10, "", "no such file or directory"},
		{"dangling", 10, "", "no such file or directory"},
	}
	for _, tt := range tests {
		content, err := Read(filepath.Join(dir, tt.name), tt.limit)
		if tt.err == "" {
			if err != nil || string(content.Text) != tt.want || content.Info.Size() != int64(len(tt.want)) {
				t.Errorf("%s: %q, %v: want %q", tt.name, content.Text, err, tt.want)
			}
			continue
		}
		fault, ok := errors.AsType[*fs.PathError](err)
		if !ok || fault.Err.Error() != tt.err || content.Text != nil {
			t.Errorf("%s: %q, %v: want %q", tt.name, content.Text, err, tt.err)
		}
	}
}

// TestReplacedByPipe opens a pipe that replaced a regular file after the check of its
// type. Opening must not wait for a writer.
func TestReplacedByPipe(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(fixture(t), "pipe"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := read(f, 10); err == nil || !strings.HasSuffix(err.Error(), "named pipe, not a regular file") {
		t.Errorf("want the pipe refused, found %v", err)
	}
}
