package filewatch

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestRequestedScan checks that the report of a requested scan contains a file that was
// replaced just before, and lists a file that is written in place as waiting.
func TestRequestedScan(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	var reports []Result
	now := time.Unix(1000, 0)
	s := newScanner(Options{
		Names: []string{file}, Known: map[string]Sum{file: sha256.Sum256([]byte("one"))},
		Report: func(l Result) { reports = append(reports, l) },
	}, Quiet, notify)
	s.now = func() time.Time { return now }
	scan := func(o scanOptions, wait time.Duration, count int) {
		t.Helper()
		if found := s.scan(t.Context(), o); found != wait || len(reports) != count {
			t.Fatalf("want the next scan after %v and %d reports, found %v and %+v", wait, count, found, reports)
		}
	}
	scan(scanOptions{full: true}, 0, 0)
	write("two")
	scan(scanOptions{events: events{file: {created: true}}, full: true, requested: true}, settleDelay, 0)
	now = now.Add(settleDelay)
	scan(scanOptions{}, 0, 1)
	if l := reports[0]; !l.Requested || len(l.Changed) != 1 || string(l.Changed[0].Text) != "two" || len(l.Waiting) != 0 {
		t.Errorf("want the new content in the report, found %+v", l)
	}
	write("three")
	scan(scanOptions{events: events{file: {written: true}}, full: true, requested: true}, Quiet, 2)
	if l := reports[1]; !l.Requested || len(l.Changed) != 0 || len(l.Waiting) != 1 {
		t.Errorf("want the file waiting in the report, found %+v", l)
	}
	now = now.Add(Quiet)
	scan(scanOptions{}, 0, 3)
	if l := reports[2]; l.Requested || len(l.Changed) != 1 || string(l.Changed[0].Text) != "three" {
		t.Errorf("want the new content, found %+v", l)
	}
	// Without a notification, a full scan or another modification time nothing is read.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	write("THREE")
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	scan(scanOptions{}, 0, 3)
	scan(scanOptions{full: true}, Quiet, 3)
}
