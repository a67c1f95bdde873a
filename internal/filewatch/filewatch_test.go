package filewatch_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/filewatch"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(dir, file string) error
	}{
		{"written in place", func(_, file string) error { return os.WriteFile(file, []byte("two"), 0) }},
		{"written in part", func(_, file string) error { return patch(file, "tw") }},
		{"emptied", func(_, file string) error { return os.Truncate(file, 0) }},
		{"renamed over", func(dir, file string) error {
			fresh := filepath.Join(dir, "new")
			return errors.Join(os.WriteFile(fresh, []byte("two"), 0o600), os.Rename(fresh, file))
		}},
		{"renamed over from elsewhere", func(dir, file string) error {
			sub := filepath.Join(dir, "sub")
			fresh := filepath.Join(sub, "new")
			return errors.Join(os.Mkdir(sub, 0o700), os.WriteFile(fresh, []byte("two"), 0o600), os.Rename(fresh, file))
		}},
		{"deleted", func(_, file string) error { return os.Remove(file) }},
		{"renamed away", func(_, file string) error { return os.Rename(file, file+".old") }},
		{"replaced by a link", func(dir, file string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "new"), []byte("two"), 0o600), swap("new", file))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "keys.pem")
			write(t, file, "one")
			w := start(t, file)
			must(t, tt.change(dir, file))
			w.want(file)
			// The watch continues.
			_ = os.Remove(file)
			write(t, file, "three")
			w.wantText(file, "three")
		})
	}
}

// TestRecreated checks that the removal and the creation of a file are separate changes.
func TestRecreated(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.pem")
	write(t, file, "one")
	w := start(t, file)
	must(t, os.Remove(file))
	if l := w.want(file); !errors.Is(l.Changed[0].Err, fs.ErrNotExist) {
		t.Errorf("want the file missing, found %v", l.Changed[0].Err)
	}
	write(t, file, "one")
	w.wantText(file, "one")
}

// TestMissingFile checks that a file may be created after the start.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.pem")
	w := start(t, file)
	write(t, file, "one")
	w.wantText(file, "one")
}

// TestMissingFolder checks that a missing folder at the start is an error.
func TestMissingFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	must(t, os.Symlink(filepath.Join(dir, "nowhere", "keys.pem"), filepath.Join(dir, "dangling")))
	for _, name := range []string{"nowhere/keys.pem", "file/keys.pem", "dangling"} {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		err := filewatch.Files(ctx, filewatch.Options{
			Names:  []string{filepath.Join(dir, "file"), filepath.Join(dir, name)},
			Report: func(filewatch.Result) { t.Errorf("%s: called", name) },
		})
		if err == nil {
			t.Errorf("%s: want an error, found none", name)
		}
	}
}

// TestSameContent checks that changes that keep the content are not reported. The report
// of the second file shows that a scan has taken place.
func TestSameContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, other := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml")
	write(t, file, "one")
	write(t, other, "0")
	w := start(t, file, other)
	same := []func(){
		func() { must(t, patch(file, "one")) },
		func() { must(t, os.Chmod(file, 0o644)) },
		func() { must(t, os.Chtimes(file, time.Unix(0, 0), time.Unix(0, 0))) },
		func() { write(t, file+".new", "one"); must(t, os.Rename(file+".new", file)) },
		func() { write(t, filepath.Join(dir, "unrelated"), "x") },
	}
	for i, change := range same {
		change()
		text := string(rune('1' + i))
		write(t, other, text)
		w.wantText(other, text)
	}
}

func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	keys, rules, list := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml"), filepath.Join(elsewhere, "ca.crl")
	for _, file := range []string{keys, rules, list} {
		write(t, file, "one")
	}
	w := start(t, keys, rules, list)
	write(t, rules, "two")
	w.wantText(rules, "two")
	write(t, list, "two")
	w.wantText(list, "two")
	// A single step changes both, so that no scan takes place in between.
	must(t, os.Rename(dir, filepath.Join(elsewhere, "away")))
	w.want(keys, rules)
}

// TestNoFiles checks that without files there is no report and no error.
func TestNoFiles(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := filewatch.Files(ctx, filewatch.Options{Report: func(filewatch.Result) { t.Error("called") }}); err != nil {
		t.Error(err)
	}
}

// TestRelativeName checks that names are relative to the working directory.
func TestRelativeName(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "keys.pem", "one")
	w := start(t, "keys.pem")
	write(t, "keys.pem", "two")
	w.wantText("keys.pem", "two")
}

// TestPoll changes a file without a notification: through a second hard link, in a folder
// that is not watched.
func TestPoll(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	file, twin := filepath.Join(dir, "keys.pem"), filepath.Join(elsewhere, "twin")
	write(t, file, "one")
	must(t, os.Link(file, twin))
	w := startWith(t, moment, time.Millisecond, file)
	write(t, twin, "two")
	w.wantText(file, "two")
}
