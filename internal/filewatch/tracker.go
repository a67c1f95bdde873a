package filewatch

import (
	"io/fs"
	"os"
	"time"
)

// reading is a file as one look found it.
type reading struct {
	path  string      // its name with every symbolic link resolved
	info  fs.FileInfo // nil when it could not be read
	sum   Sum         // zero when it could not be read
	fault string      // why it could not be read
}

func (r reading) hasContentOf(other reading) bool {
	return r.sum == other.sum && r.fault == other.fault
}

// equals is whether nothing at all has changed between two readings.
func (r reading) equals(other reading) bool {
	return r.hasContentOf(other) && r.path == other.path && isUntouched(r.info, other.info)
}

// isUntouched is whether a is the file b with the same size and time, or both are
// missing.
func isUntouched(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// tracker decides when the new content of one file is complete.
type tracker struct {
	quiet time.Duration // for changes in place

	known  reading // what was reported last, or is known to the caller
	absent bool    // there is no such content

	candidate reading   // what the file holds now
	since     time.Time // when it was first read; zero: there is no candidate
	happened  note      // to the path since known
}

// newTracker makes a tracker for a caller that has loaded the content with the
// sum, if isKnown.
func newTracker(quiet time.Duration, sum Sum, isKnown bool) *tracker {
	return &tracker{quiet: quiet, known: reading{sum: sum}, absent: !isKnown}
}

// note takes what happened to the file's path since the last reading.
func (t *tracker) note(n note) {
	if n.created {
		t.happened = n
		return
	}
	t.happened.written = t.happened.written || n.written
}

// take judges a reading. Rest is how long the file must stay as it is until its
// content counts; 0 when it does now, which isNew says, or when it is what is
// known already.
func (t *tracker) take(r reading, now time.Time) (rest time.Duration, isNew bool) {
	if !t.absent && r.hasContentOf(t.known) {
		t.accept(r)
		return 0, false
	}
	if !t.isWaiting() || !r.equals(t.candidate) {
		t.candidate, t.since = r, now
	}
	patience := t.quiet
	if t.isReplaced() {
		patience = settle
	}
	if rest := patience - now.Sub(t.since); rest > 0 {
		return rest, false
	}
	t.accept(r)
	return 0, true
}

func (t *tracker) accept(r reading) {
	t.known, t.absent = r, false
	t.candidate, t.since, t.happened = reading{}, time.Time{}, note{}
}

// isWaiting is whether there is a content that does not count yet.
func (t *tracker) isWaiting() bool { return !t.since.IsZero() }

// isReplaced is whether the candidate took the place of the known file in one
// step: a link on the path leads to another file, or another file was renamed or
// linked to the path. A file that was created there looks the same until it is
// written to. Inode numbers say less: the system uses them again.
func (t *tracker) isReplaced() bool {
	if t.candidate.info == nil || t.known.path == "" || t.happened.written {
		return false
	}
	return t.happened.created || t.candidate.path != t.known.path
}
