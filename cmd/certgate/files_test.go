package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestWriteNewAllOrNone checks that no file is left if one of them cannot be created, and
// that existing files stay unchanged.
func TestWriteNewAllOrNone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		second string
		make   func(t *testing.T, path string)
		want   error
	}{
		{"no folder for the second", "nowhere/mail.crt", func(*testing.T, string) {}, fs.ErrNotExist},
		{"the second exists", "mail.crt", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte("existing"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"a folder with the name of the second", "mail.crt", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"a dangling link", "mail.crt", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"the second is the first", "mail.key", func(*testing.T, string) {}, fs.ErrExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first, second := filepath.Join(dir, "mail.key"), filepath.Join(dir, test.second)
			test.make(t, second)
			err := writeNew(newFile{first, []byte("key"), private}, newFile{second, []byte("certificate"), public})
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("want %v, found %v", test.want, err)
			}
			if _, err := os.Lstat(first); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("want no first file, found one (%v)", err)
			}
			if text, err := os.ReadFile(second); err == nil && string(text) != "existing" {
				t.Errorf("want the second unchanged, found %q", text)
			}
		})
	}
}
