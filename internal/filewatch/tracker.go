package filewatch

import (
	"io/fs"
	"os"
	"time"
)

// reading is the state of a file in one scan.
type reading struct {
	path  string      // the name with every symbolic link resolved
	info  fs.FileInfo // nil if the file could not be read
	sum   Sum         // zero if the file could not be read
	fault string      // the error if the file could not be read
}

// hasContentOf reports whether two readings have the same content or the same error.
func (r reading) hasContentOf(other reading) bool {
	return r.sum == other.sum && r.fault == other.fault
}

// equals reports whether content, path, size and modification time of two readings are
// equal.
func (r reading) equals(other reading) bool {
	return r.hasContentOf(other) && r.path == other.path && isUntouched(r.info, other.info)
}

// isUntouched reports whether a and b are the same file with the same size and
// modification time, or are both missing.
func isUntouched(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// tracker decides when the new content of one file is complete.
type tracker struct {
	quiet time.Duration // for changes in place

	known  reading // the latest reported content, or the content that the caller knows
	absent bool    // there is no known content

	candidate reading   // the present content, if it is not known
	since     time.Time // the first reading of candidate; zero without a candidate
	happened  event     // the events of the path since known
}

// newTracker returns a tracker. If isKnown, the caller has loaded the content with the
// hash sum.
func newTracker(quiet time.Duration, sum Sum, isKnown bool) *tracker {
	return &tracker{quiet: quiet, known: reading{sum: sum}, absent: !isKnown}
}

// addEvent adds the event of the file's path since the previous reading.
func (t *tracker) addEvent(e event) {
	if e.created {
		t.happened = e
		return
	}
	t.happened.written = t.happened.written || e.written
}

// observe processes a reading. It reports whether the content is new and complete.
// Otherwise remaining is the time for which the file must not change until its content
// is complete, or 0 if the content is known.
func (t *tracker) observe(r reading, now time.Time) (remaining time.Duration, isNew bool) {
	if !t.absent && r.hasContentOf(t.known) {
		t.accept(r)
		return 0, false
	}
	if !t.hasCandidate() || !r.equals(t.candidate) {
		t.candidate, t.since = r, now
	}
	required := t.quiet
	if t.isReplaced() {
		required = settleDelay
	}
	if remaining := required - now.Sub(t.since); remaining > 0 {
		return remaining, false
	}
	t.accept(r)
	return 0, true
}

// accept makes a reading the known content.
func (t *tracker) accept(r reading) {
	t.known, t.absent = r, false
	t.candidate, t.since, t.happened = reading{}, time.Time{}, event{}
}

// hasCandidate reports whether the file has new content that may be incomplete.
func (t *tracker) hasCandidate() bool { return !t.since.IsZero() }

// isReplaced reports whether the candidate replaced the known file in one step: a link on
// the path refers to another file, or another file was renamed or linked to the path. A
// new file that was created at the path cannot be distinguished until it is written.
// Inode numbers cannot be compared instead, because file systems reuse them.
func (t *tracker) isReplaced() bool {
	if t.candidate.info == nil || t.known.path == "" || t.happened.written {
		return false
	}
	return t.happened.created || t.candidate.path != t.known.path
}
