package filewatch_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/filewatch"
)

// TestInPlace: with a quiet time that does not end within the test, a file that
// is replaced in one step counts at once and a file that is written in place does
// not, however often the watch is asked.
func TestInPlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		change  func(dir, file string) error
		waiting bool
	}{
		{"renamed over", func(_, file string) error { return replace(file, "two") }, false},
		{"written, then renamed over", func(_, file string) error {
			if err := patch(file, "xx"); err != nil {
				return err
			}
			return replace(file, "two")
		}, false},
		{"a link is swapped", func(dir, file string) error {
			elsewhere := filepath.Join(dir, "sub")
			if err := os.Mkdir(elsewhere, 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(elsewhere, "new"), []byte("two"), 0o600); err != nil {
				return err
			}
			return swap("sub/new", file)
		}, false},
		{"written", func(_, file string) error { return os.WriteFile(file, []byte("two"), 0o600) }, true},
		{"cut", func(_, file string) error { return os.Truncate(file, 1) }, true},
		{"appended to", func(_, file string) error { return patch(file, "one and two") }, true},
		{"removed and written anew", func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.WriteFile(file, []byte("two"), 0o600)
		}, true},
		{"renamed away and written anew, as vim does", func(_, file string) error {
			if err := os.Rename(file, file+"~"); err != nil {
				return err
			}
			return os.WriteFile(file, []byte("two"), 0o600)
		}, true},
		{"removed", func(_, file string) error { return os.Remove(file) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, marker := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "marker")
			write(t, file, "one")
			write(t, marker, "one")
			w := startWith(t, time.Hour, noPoll, file, marker)
			must(t, tt.change(dir, file))
			if !tt.waiting {
				w.wantText(file, "two")
				return
			}
			w.wantWaiting(file, "")
			// What is replaced later is reported when all that was notified of the file
			// has been seen.
			must(t, replace(marker, "two"))
			w.wantWaiting(file, marker)
			w.wantWaiting(file, "")
			// A replacement ends the wait.
			must(t, replace(file, "three"))
			w.wantText(file, "three")
		})
	}
}

// wantWaiting waits until the other file is reported, or without one for the answer
// to a question, and wants the first file waiting and not reported. A file that was
// created and is still empty may be reported: it is an error for its reader.
func (w watcher) wantWaiting(file, other string) {
	w.t.Helper()
	if other == "" {
		w.question()
	}
	for {
		l := w.look()
		for _, f := range l.Changed {
			if f.Name == file && len(f.Text) > 0 {
				w.t.Fatalf("want the file waiting, found %q", f.Text)
			}
		}
		if l.Asked && other == "" && !slices.Contains(l.Waiting, file) {
			w.t.Fatalf("want the file waiting, found %+v", l)
		}
		if l.Asked && other == "" || other != "" && slices.Contains(changed(l), other) {
			return
		}
	}
}

// replace writes beside the file and renames over it.
func replace(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// TestWrittenDuringTheStart: a change after the caller has read the file and
// before the watch begins is reported, too.
func TestWrittenDuringTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "two")
	looks := make(chan filewatch.Look)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{
			Names: []string{file}, Known: map[string]filewatch.Sum{file: {1}}, Report: func(l filewatch.Look) { looks <- l },
		}, moment, noPoll)
	}()
	if l := <-looks; len(l.Changed) != 1 || string(l.Changed[0].Text) != "two" {
		t.Errorf("want the new content, found %+v", l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestPipe: a named pipe in the place of the file is reported and not waited for.
func TestPipe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "one")
	w := start(t, file)
	must(t, syscall.Mkfifo(file+".new", 0o600))
	must(t, os.Rename(file+".new", file))
	if l := w.want(file); l.Changed[0].Err == nil {
		t.Error("want an error, found none")
	}
	must(t, replace(file, "two"))
	w.wantText(file, "two")
}

// TestEndsDuringALook: the end of the context does not wait for a look that takes
// long.
func TestEndsDuringALook(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "one")
	ctx, cancel := context.WithCancel(t.Context())
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{Names: []string{file}, Report: func(filewatch.Look) {
			close(began)
			<-release
			close(ended)
		}}, moment, noPoll)
	}()
	<-began
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("want the end, found none")
	}
	close(release)
	<-ended
}
