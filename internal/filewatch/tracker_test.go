package filewatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestQuietTime walks a tracker through readings at given times.
func TestQuietTime(t *testing.T) {
	dir := t.TempDir()
	info := func(name, text string, at time.Duration) os.FileInfo {
		t.Helper()
		path := filepath.Join(dir, name)
		when := time.Unix(1000, 0).Add(at)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.WriteString(text)
		_ = f.Close()
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		found, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	// file is a reading of a file with a text that was written at a time.
	file := func(name, text string, at time.Duration) reading {
		t.Helper()
		return reading{path: "/rules.yaml", info: info(name, text, at), sum: Sum{text[0]}}
	}
	type step struct {
		at    time.Duration
		note  note
		found reading
		rest  time.Duration
		isNew bool
	}
	const s = time.Second
	one, other := file("a", "1", 0), file("b", "2", 0)
	gone := reading{path: "/rules.yaml", fault: "no such file"}
	moved := file("c", "3", 0)
	moved.path = "/v2/rules.yaml"
	written := note{written: true}
	tests := []struct {
		name  string
		steps []step
	}{
		{"the content is known", []step{{0, note{}, one, 0, false}, {9 * s, written, file("a", "1", 5*s), 0, false}}},
		{"written once", []step{
			{0, note{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, note{}, file("a", "2", 1*s), 1 * s, false},
			{3 * s, note{}, file("a", "2", 1*s), 0, true},
			{4 * s, note{}, file("a", "2", 1*s), 0, false},
		}},
		{"another content begins the time anew", []step{
			{0, note{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "3", 1*s), 2 * s, false},
			{4 * s, note{}, file("a", "3", 1*s), 0, true},
		}},
		{"another size begins the time anew", []step{
			{0, note{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, note{}, file("a", "22", 1*s), 2 * s, false},
		}},
		{"another modification time begins the time anew", []step{
			{0, note{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "2", 2*s), 2 * s, false},
			{4 * s, note{}, file("a", "2", 2*s), 0, true},
		}},
		{"written and restored", []step{
			{0, note{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "1", 2*s), 0, false},
			{3 * s, written, file("a", "2", 3*s), 2 * s, false},
		}},
		{"renamed over", []step{
			{0, note{}, one, 0, false},
			{1 * s, note{created: true}, other, settle, false},
			{1*s + settle, note{}, other, 0, true},
		}},
		{"renamed over without a notification", []step{{0, note{}, one, 0, false}, {1 * s, note{}, other, 2 * s, false}}},
		{"renamed over and written", []step{
			{0, note{}, one, 0, false},
			{1 * s, note{created: true}, other, settle, false},
			{1*s + settle, written, other, 2*s - settle, false},
			{3 * s, note{}, other, 0, true},
		}},
		{"created and written", []step{{0, note{}, one, 0, false}, {1 * s, note{true, true}, other, 2 * s, false}}},
		{"a link is swapped", []step{
			{0, note{}, one, 0, false},
			{1 * s, note{}, moved, settle, false},
			{1*s + settle, note{}, moved, 0, true},
		}},
		{"removed", []step{{0, note{}, one, 0, false}, {1 * s, note{}, gone, 2 * s, false}, {3 * s, note{}, gone, 0, true}, {4 * s, note{}, gone, 0, false}}},
		{"removed and renamed back", []step{
			{0, note{}, one, 0, false},
			{1 * s, note{}, gone, 2 * s, false},
			{3 * s, note{}, gone, 0, true},
			{4 * s, note{created: true}, other, settle, false},
		}},
		{"another content than the caller's", []step{{0, note{created: true}, other, 2 * s, false}, {2 * s, note{}, other, 0, true}}},
	}
	for _, tt := range tests {
		// The table's readings of "a" have changed the file; only their order counts.
		tracker := newTracker(2*s, Sum{'1'}, true)
		for i, step := range tt.steps {
			tracker.note(step.note)
			rest, isNew := tracker.take(step.found, time.Unix(2000, 0).Add(step.at))
			if rest != step.rest || isNew != step.isNew {
				t.Errorf("%s, step %d: want %v %t, found %v %t", tt.name, i, step.rest, step.isNew, rest, isNew)
			}
		}
	}
}

// TestNotes: of what happens to a path only the time since it became the name of
// a file counts, and what was lost may be anything.
func TestNotes(t *testing.T) {
	n := notes{}
	for _, e := range []fsnotify.Event{
		{Name: "/renamed", Op: fsnotify.Write}, {Name: "/renamed", Op: fsnotify.Create},
		{Name: "/made", Op: fsnotify.Create}, {Name: "/made", Op: fsnotify.Write},
		{Name: "/removed", Op: fsnotify.Remove},
	} {
		n.add(e)
	}
	for path, want := range map[string]note{"/renamed": {created: true}, "/made": {true, true}, "/removed": {}} {
		if found, ok := n.of(path); found != want || !ok {
			t.Errorf("%s: want %+v, found %+v", path, want, found)
		}
	}
	if _, ok := n.of("/other"); ok {
		t.Error("want nothing noted of another path")
	}
	for i := range 2 * maxNoted {
		n.add(fsnotify.Event{Name: string(rune(0x4e00 + i)), Op: fsnotify.Create})
	}
	if found, ok := n.of("/other"); len(n) > maxNoted+1 || !ok || !found.written {
		t.Errorf("want at most %d paths and the rest lost, found %d and %+v", maxNoted, len(n), found)
	}
}
