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

// TestInPlace checks with a quiet period longer than the test that a file that is
// replaced in one step is reported immediately, and that a file that is written in place is
// not reported, even if scans are requested.
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
		{"replaced link", func(dir, file string) error {
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
		{"truncated", func(_, file string) error { return os.Truncate(file, 1) }, true},
		{"appended to", func(_, file string) error { return patch(file, "one and two") }, true},
		{"removed and written again", func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.WriteFile(file, []byte("two"), 0o600)
		}, true},
		{"renamed away and written again, as by vim", func(_, file string) error {
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
			// When the replacement of the marker is reported, all earlier notifications
			// have been processed.
			must(t, replace(marker, "two"))
			w.wantWaiting(file, marker)
			w.wantWaiting(file, "")
			// A replacement ends the quiet period.
			must(t, replace(file, "three"))
			w.wantText(file, "three")
		})
	}
}

// wantWaiting waits until the other file is reported, or for a requested report if other
// is empty, and requires that file is waiting and not reported. A file that was created
// and is still empty may be reported, because its parser refuses it.
func (w watcher) wantWaiting(file, other string) {
	w.t.Helper()
	if other == "" {
		w.requestScan()
	}
	for {
		l := w.next()
		for _, f := range l.Changed {
			if f.Name == file && len(f.Text) > 0 {
				w.t.Fatalf("want the file waiting, found %q", f.Text)
			}
		}
		if l.Requested && other == "" && !slices.Contains(l.Waiting, file) {
			w.t.Fatalf("want the file waiting, found %+v", l)
		}
		if l.Requested && other == "" || other != "" && slices.Contains(changed(l), other) {
			return
		}
	}
}

// replace writes another file and renames it over the file.
func replace(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// TestChangeBeforeStart checks that a change between the caller's reading and the start of
// the watch is reported.
func TestChangeBeforeStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "two")
	results := make(chan filewatch.Result)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{
			Names: []string{file}, Known: map[string]filewatch.Sum{file: {1}}, Report: func(l filewatch.Result) { results <- l },
		}, moment, noPoll)
	}()
	if l := <-results; len(l.Changed) != 1 || string(l.Changed[0].Text) != "two" {
		t.Errorf("want the new content, found %+v", l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestPipe checks that a named pipe in the place of the file is reported as an error and
// does not block.
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

// TestEndDuringScan checks that Files returns during a scan that is blocked.
func TestEndDuringScan(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, file, "one")
	ctx, cancel := context.WithCancel(t.Context())
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{Names: []string{file}, Report: func(filewatch.Result) {
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
	case <-time.After(testTimeout):
		t.Error("want the end, found none")
	}
	close(release)
	<-ended
}
