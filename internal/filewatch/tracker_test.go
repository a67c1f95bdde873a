package filewatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestQuietPeriod passes readings at given times to a tracker.
func TestQuietPeriod(t *testing.T) {
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
	// file returns a reading of a file with a text that was written at a time.
	file := func(name, text string, at time.Duration) reading {
		t.Helper()
		return reading{path: "/rules.yaml", info: info(name, text, at), sum: Sum{text[0]}}
	}
	type step struct {
		at        time.Duration
		event     event
		found     reading
		remaining time.Duration
		isNew     bool
	}
	const s = time.Second
	one, other := file("a", "1", 0), file("b", "2", 0)
	gone := reading{path: "/rules.yaml", fault: "no such file"}
	moved := file("c", "3", 0)
	moved.path = "/v2/rules.yaml"
	written := event{written: true}
	tests := []struct {
		name  string
		steps []step
	}{
		{"known content", []step{{0, event{}, one, 0, false}, {9 * s, written, file("a", "1", 5*s), 0, false}}},
		{"written once", []step{
			{0, event{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, event{}, file("a", "2", 1*s), 1 * s, false},
			{3 * s, event{}, file("a", "2", 1*s), 0, true},
			{4 * s, event{}, file("a", "2", 1*s), 0, false},
		}},
		{"another content restarts the quiet period", []step{
			{0, event{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "3", 1*s), 2 * s, false},
			{4 * s, event{}, file("a", "3", 1*s), 0, true},
		}},
		{"another size restarts the quiet period", []step{
			{0, event{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, event{}, file("a", "22", 1*s), 2 * s, false},
		}},
		{"another modification time restarts the quiet period", []step{
			{0, event{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "2", 2*s), 2 * s, false},
			{4 * s, event{}, file("a", "2", 2*s), 0, true},
		}},
		{"written and restored", []step{
			{0, event{}, one, 0, false},
			{1 * s, written, file("a", "2", 1*s), 2 * s, false},
			{2 * s, written, file("a", "1", 2*s), 0, false},
			{3 * s, written, file("a", "2", 3*s), 2 * s, false},
		}},
		{"renamed over", []step{
			{0, event{}, one, 0, false},
			{1 * s, event{created: true}, other, settleDelay, false},
			{1*s + settleDelay, event{}, other, 0, true},
		}},
		{"renamed over without a notification", []step{{0, event{}, one, 0, false}, {1 * s, event{}, other, 2 * s, false}}},
		{"renamed over and written", []step{
			{0, event{}, one, 0, false},
			{1 * s, event{created: true}, other, settleDelay, false},
			{1*s + settleDelay, written, other, 2*s - settleDelay, false},
			{3 * s, event{}, other, 0, true},
		}},
		{"created and written", []step{{0, event{}, one, 0, false}, {1 * s, event{true, true}, other, 2 * s, false}}},
		{"replaced link", []step{
			{0, event{}, one, 0, false},
			{1 * s, event{}, moved, settleDelay, false},
			{1*s + settleDelay, event{}, moved, 0, true},
		}},
		{"removed", []step{{0, event{}, one, 0, false}, {1 * s, event{}, gone, 2 * s, false}, {3 * s, event{}, gone, 0, true}, {4 * s, event{}, gone, 0, false}}},
		{"removed and renamed back", []step{
			{0, event{}, one, 0, false},
			{1 * s, event{}, gone, 2 * s, false},
			{3 * s, event{}, gone, 0, true},
			{4 * s, event{created: true}, other, settleDelay, false},
		}},
		{"unknown content at the start", []step{{0, event{created: true}, other, 2 * s, false}, {2 * s, event{}, other, 0, true}}},
	}
	for _, tt := range tests {
		// The readings of "a" in the table have changed the file; only their order matters.
		tracker := newTracker(2*s, Sum{'1'}, true)
		for i, step := range tt.steps {
			tracker.addEvent(step.event)
			remaining, isNew := tracker.observe(step.found, time.Unix(2000, 0).Add(step.at))
			if remaining != step.remaining || isNew != step.isNew {
				t.Errorf("%s, step %d: want %v %t, found %v %t", tt.name, i, step.remaining, step.isNew, remaining, isNew)
			}
		}
	}
}

// TestEvents checks that a creation discards earlier events of a path, and that lost
// notifications affect every path.
func TestEvents(t *testing.T) {
	n := events{}
	for _, e := range []fsnotify.Event{
		{Name: "/renamed", Op: fsnotify.Write}, {Name: "/renamed", Op: fsnotify.Create},
		{Name: "/made", Op: fsnotify.Create}, {Name: "/made", Op: fsnotify.Write},
		{Name: "/removed", Op: fsnotify.Remove},
	} {
		n.add(e)
	}
	for path, want := range map[string]event{"/renamed": {created: true}, "/made": {true, true}, "/removed": {}} {
		if found, ok := n.lookup(path); found != want || !ok {
			t.Errorf("%s: want %+v, found %+v", path, want, found)
		}
	}
	if _, ok := n.lookup("/other"); ok {
		t.Error("want no event of another path")
	}
	for i := range 2 * maxPaths {
		n.add(fsnotify.Event{Name: string(rune(0x4e00 + i)), Op: fsnotify.Create})
	}
	if found, ok := n.lookup("/other"); len(n) > maxPaths+1 || !ok || !found.written {
		t.Errorf("want at most %d paths and the rest lost, found %d and %+v", maxPaths, len(n), found)
	}
}
