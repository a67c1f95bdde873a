package filewatch

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// scanner reads the files and reports complete new contents.
type scanner struct {
	names     []string
	trackers  []*tracker // one for each name
	notify    *fsnotify.Watcher
	report    func(Result)
	now       func() time.Time
	requested bool // a request of Options.Rescan has no report yet
}

// newScanner returns a scanner; quiet replaces [Quiet].
func newScanner(o Options, quiet time.Duration, notify *fsnotify.Watcher) *scanner {
	s := &scanner{names: o.Names, notify: notify, report: o.Report, now: time.Now}
	for _, name := range o.Names {
		sum, known := o.Known[name]
		s.trackers = append(s.trackers, newTracker(quiet, sum, known))
	}
	return s
}

// scanOptions are the parameters of one scan.
type scanOptions struct {
	events    events
	full      bool // read every file, even without a sign of a change
	requested bool // by Options.Rescan
}

// scan reads the files and reports the result. It returns the time until the next scan,
// or 0 if no scan is necessary.
func (s *scanner) scan(ctx context.Context, o scanOptions) (wait time.Duration) {
	// The folders are watched before reading, so that later changes cause notifications.
	// Folders that cannot be watched are covered by the poll.
	_ = watchFolders(s.notify, s.names)
	found := Result{}
	settling := false
	for i, name := range s.names {
		file, remaining, isNew := s.read(name, s.trackers[i], o)
		switch {
		case isNew:
			found.Changed = append(found.Changed, file)
		case remaining > 0:
			wait = earlier(wait, remaining)
			settling = settling || remaining <= settleDelay
			found.Waiting = append(found.Waiting, name)
		}
	}
	s.requested = s.requested || o.requested
	// The report waits for files that were just replaced.
	if s.requested && !settling {
		found.Requested, s.requested = true, false
	}
	if ctx.Err() == nil && (found.Requested || len(found.Changed) > 0) {
		s.report(found)
	}
	return wait
}

// read reads one file, unless there is no sign of a change. It returns the file and
// whether its content is new and complete, or the time until the content is complete.
func (s *scanner) read(name string, t *tracker, o scanOptions) (file regularfile.File, remaining time.Duration, isNew bool) {
	_, path := resolve(name)
	e, happened := o.events.lookup(path)
	t.addEvent(e)
	if !o.full && !happened && !t.hasCandidate() && path == t.known.path {
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
	remaining, isNew = t.observe(r, s.now())
	return file, remaining, isNew
}

// earlier returns the smaller of two durations, where 0 means none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
