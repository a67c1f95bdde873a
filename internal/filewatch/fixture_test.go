package filewatch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/testkit/leak"
)

// TestMain lets many parallel tests run at the same time, because they wait and use no
// processor, and finds goroutines that are left over. Each watch needs an inotify instance, and
// a user of Linux may have 128.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "32")
	leak.Main(m)
}

// testTimeout ends a test that hangs. It is less than noPoll, so that changes are detected
// by notification within it.
const (
	testTimeout = 30 * time.Second
	noPoll      = time.Hour
)

// moment is a short quiet period for tests of the final result.
const moment = time.Millisecond

// watcher is a call of Files in the background.
type watcher struct {
	t       *testing.T
	results chan filewatch.Result
	rescan  chan struct{}
}

// start watches files with known contents. It discards reports about files that are
// missing at the start.
func start(t *testing.T, names ...string) watcher {
	t.Helper()
	return startWith(t, moment, noPoll, names...)
}

func startWith(t *testing.T, quiet, poll time.Duration, names ...string) watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := watcher{t, make(chan filewatch.Result), make(chan struct{})}
	known := map[string]filewatch.Sum{}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			known[name] = sha256.Sum256(text)
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{Names: names, Known: known, Rescan: w.rescan, Report: func(l filewatch.Result) {
			select {
			case w.results <- l:
			case <-ctx.Done():
			}
		}}, quiet, poll)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("want nil when the context is done, found %v", err)
			}
		case <-time.After(testTimeout):
			t.Error("the watch does not end")
		}
	})
	// The report shows that the watch has started.
	w.requestScan()
	for {
		l := w.next()
		if len(l.Changed) > 0 && len(known) == len(names) {
			t.Errorf("want the known contents not reported, found %v", l.Changed)
		}
		if l.Requested {
			return w
		}
	}
}

// requestScan requests a scan.
func (w watcher) requestScan() {
	w.t.Helper()
	select {
	case w.rescan <- struct{}{}:
	case <-time.After(testTimeout):
		w.t.Fatal("want the request accepted")
	}
}

// next waits for the next report.
func (w watcher) next() filewatch.Result {
	w.t.Helper()
	select {
	case l := <-w.results:
		return l
	case <-time.After(testTimeout):
		w.t.Fatal("no report")
		return filewatch.Result{}
	}
}

// want waits for the next report and compares the names of the changed files.
func (w watcher) want(names ...string) filewatch.Result {
	w.t.Helper()
	l := w.next()
	if got := changed(l); !slices.Equal(got, names) {
		w.t.Errorf("changed %q, want %q", got, names)
	}
	return l
}

// wantText waits until a file is reported with a content. Incomplete contents may be
// reported before, because the quiet period of the tests is short.
func (w watcher) wantText(name, text string) {
	w.t.Helper()
	for {
		for _, f := range w.want(name).Changed {
			if f.Err == nil && string(f.Text) == text {
				return
			}
		}
	}
}

func changed(l filewatch.Result) (names []string) {
	for _, f := range l.Changed {
		names = append(names, f.Name)
	}
	return names
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// swap replaces the link name in one step, as the kubelet and deployment tools do.
func swap(target, name string) error {
	return errors.Join(os.Symlink(target, name+".tmp"), os.Rename(name+".tmp", name))
}

// patch overwrites the beginning of a file without truncating it.
func patch(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
