package filewatch

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestAnswer: a file that was replaced just before the question is part of the
// answer, and one that is written in place is said to wait.
func TestAnswer(t *testing.T) {
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
	var looks []Look
	now := time.Unix(1000, 0)
	s := newScan(Options{
		Names: []string{file}, Known: map[string]Sum{file: sha256.Sum256([]byte("one"))},
		Report: func(l Look) { looks = append(looks, l) },
	}, Quiet, notify)
	s.now = func() time.Time { return now }
	look := func(q query, rest time.Duration, reports int) {
		t.Helper()
		if found := s.look(t.Context(), q); found != rest || len(looks) != reports {
			t.Fatalf("want the next look after %v and %d reports, found %v and %+v", rest, reports, found, looks)
		}
	}
	look(query{full: true}, 0, 0)
	write("two")
	look(query{noted: notes{file: {created: true}}, full: true, asked: true}, settle, 0)
	now = now.Add(settle)
	look(query{}, 0, 1)
	if l := looks[0]; !l.Asked || len(l.Changed) != 1 || string(l.Changed[0].Text) != "two" || len(l.Waiting) != 0 {
		t.Errorf("want the new content in the answer, found %+v", l)
	}
	write("three")
	look(query{noted: notes{file: {written: true}}, full: true, asked: true}, Quiet, 2)
	if l := looks[1]; !l.Asked || len(l.Changed) != 0 || len(l.Waiting) != 1 {
		t.Errorf("want the file waiting in the answer, found %+v", l)
	}
	now = now.Add(Quiet)
	look(query{}, 0, 3)
	if l := looks[2]; l.Asked || len(l.Changed) != 1 || string(l.Changed[0].Text) != "three" {
		t.Errorf("want the new content, found %+v", l)
	}
	// Without a notification, a full look or another time of change nothing is read.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	write("THREE")
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	look(query{}, 0, 3)
	look(query{full: true}, Quiet, 3)
}
