package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// DocumentFiles lists the documents for users, relative to the test's folder.
func DocumentFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(Root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && path != Root):
			return filepath.SkipDir
		case !entry.IsDir() && filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) < 2 {
		t.Fatalf("want the documents, found %q and %v", files, err)
	}
	return files
}

// Documents returns the text of all documents, one after the other.
func Documents(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, file := range DocumentFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// ReadFile returns the content of a file whose path has these elements.
func ReadFile(t *testing.T, elements ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// WriteFile writes a file, with its folder where that is missing, and returns its path.
func WriteFile(t *testing.T, text string, elements ...string) string {
	t.Helper()
	name := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
