package filewatch

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// scan reads the files and reports those whose new content is complete.
type scan struct {
	names    []string
	trackers []*tracker // one for each name
	notify   *fsnotify.Watcher
	report   func(Look)
	now      func() time.Time
	asked    bool // Ask, which was not answered yet
}

func newScan(o Options, quiet time.Duration, notify *fsnotify.Watcher) *scan {
	s := &scan{names: o.Names, notify: notify, report: o.Report, now: time.Now}
	for _, name := range o.Names {
		sum, known := o.Known[name]
		s.trackers = append(s.trackers, newTracker(quiet, sum, known))
	}
	return s
}

// query is what one look has to know.
type query struct {
	noted notes
	full  bool // read every file, even one that seems untouched
	asked bool
}

// look reads the files and reports. Rest is when to look again, 0 when nothing is
// expected.
func (s *scan) look(ctx context.Context, q query) (rest time.Duration) {
	// Before reading: what happens in a new folder from now on is a notification.
	// The poll does without the folders that cannot be watched.
	_ = follow(s.notify, s.names)
	found := Look{}
	settling := false
	for i, name := range s.names {
		file, left, isNew := s.lookAt(name, s.trackers[i], q)
		switch {
		case isNew:
			found.Changed = append(found.Changed, file)
		case left > 0:
			rest = least(rest, left)
			settling = settling || left <= settle
			found.Waiting = append(found.Waiting, name)
		}
	}
	s.asked = s.asked || q.asked
	// A file that was just replaced is part of the answer.
	if s.asked && !settling {
		found.Asked, s.asked = true, false
	}
	if ctx.Err() == nil && (found.Asked || len(found.Changed) > 0) {
		s.report(found)
	}
	return rest
}

// lookAt reads one file, unless nothing suggests that it has changed.
func (s *scan) lookAt(name string, t *tracker, q query) (file regularfile.File, rest time.Duration, isNew bool) {
	_, path := resolve(name)
	n, happened := q.noted.of(path)
	t.note(n)
	if !q.full && !happened && !t.isWaiting() && path == t.known.path {
		if info, err := os.Stat(name); err == nil && isUntouched(info, t.known.info) {
			return file, 0, false
		}
	}
	r := reading{path: path}
	file.Name = name
	if content, err := regularfile.Read(name, regularfile.MaxBytes); err != nil {
		file.Err, r.fault = err, err.Error()
	} else {
		file.Text, r.info, r.sum = content.Text, content.Info, sha256.Sum256(content.Text)
	}
	rest, isNew = t.take(r, s.now())
	return file, rest, isNew
}

// least is the smaller of two durations; 0 is none.
func least(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
