// Package filewatch reports complete new contents of files.
//
// A file that is replaced in one step counts at once: by a rename over it, or by
// the swap of a symbolic link on its path, such as Kubernetes' ..data. A file
// that is written in place may be half written at any time, so its content counts
// only after it has not changed for [Quiet].
//
// The package watches folders, not files: a watch on a file ends with the first
// rename over it and does not see the swap of a link. Because notifications can
// be lost, and do not come at all on network file systems, contents are also
// compared every [Poll].
package filewatch

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

const (
	// Quiet is how long a file that is changed in place must stay the same (size,
	// modification time and content) before its content counts.
	Quiet = 2 * time.Second
	// Poll is how often contents are compared without a notification.
	Poll = 10 * time.Second
	// settle is the time from a notification to the look at the files, and how
	// long a file that was replaced in one step must stay the same.
	settle = 50 * time.Millisecond
	// maxNoted bounds the paths whose notifications are kept until the next look.
	maxNoted = 1000
)

// Sum is the SHA-256 of a content.
type Sum = [sha256.Size]byte

// Options are what [Files] watches. Names and Report are required.
type Options struct {
	Names []string
	// Known are the contents that the caller has loaded, by name. The content of
	// a file that is not in it is reported like a change in place.
	Known map[string]Sum
	// Ask makes Files look at once, and report even when nothing has changed. It
	// does not shorten Quiet.
	Ask <-chan struct{}
	// Report is called by one goroutine at a time. It may still run when Files has
	// returned, but it is not called after the context is done.
	Report func(Look)
}

// Look is what looking at the files has found.
type Look struct {
	// Changed are the files with another content than before, complete as far as
	// can be known. A file that cannot be read any more has Err. It is a regular
	// file of at most [regularfile.MaxBytes] otherwise.
	Changed []regularfile.File
	// Waiting are the names of the files that were changed in place less than
	// Quiet ago.
	Waiting []string
	// Asked is whether the look answers Options.Ask.
	Asked bool
}

// timing is Quiet and Poll, except in tests.
type timing struct{ quiet, poll time.Duration }

// Files reports changes until ctx is done. It then returns nil at once, even
// while a file is being read: a read from a file system that does not answer
// cannot be ended. It returns an error when a file's folder cannot be watched at
// the start, and never because of a file.
func Files(ctx context.Context, o Options) error {
	return files(ctx, o, timing{Quiet, Poll})
}

func files(ctx context.Context, o Options, t timing) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = notify.Close() }()
	if err := follow(notify, o.Names); err != nil {
		return err
	}
	w := &watcher{poll: t.poll, ask: o.Ask, notify: notify, scan: newScan(o, t.quiet, notify), noted: notes{}}
	w.run(ctx)
	return nil
}

// watcher decides when to look. Everything in it belongs to the goroutine of run,
// except scan, which belongs to the look that is under way.
type watcher struct {
	poll   time.Duration
	ask    <-chan struct{}
	notify *fsnotify.Watcher
	scan   *scan

	timer *time.Timer
	next  time.Time // when the timer fires; zero: it does not
	due   bool      // a look is wanted
	query query     // what that look has to know
	noted notes
}

// run starts a look whenever one is due and none is under way.
func (w *watcher) run(ctx context.Context) {
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	w.timer = time.NewTimer(w.poll)
	defer w.timer.Stop()
	w.due, w.query.full = true, true
	looked := make(chan time.Duration, 1)
	looking := false
	failures := w.notify.Errors
	for {
		if w.due && !looking {
			looking = true
			w.start(ctx, looked)
		}
		select {
		case <-ctx.Done():
			return
		case rest := <-looked:
			looking = false
			w.wake(rest)
		case e, open := <-w.notify.Events:
			w.note(e, open)
		case _, open := <-failures: // such as an overflow: notifications were lost
			if !open {
				failures = nil
				continue
			}
			w.noted.lose()
			w.due, w.query.full = true, true
		case <-poll.C:
			w.due, w.query.full = true, true
		case <-w.timer.C:
			w.due, w.next = true, time.Time{}
		case <-w.ask:
			w.due, w.query.full, w.query.asked = true, true, true
		}
	}
}

// note takes one notification. A closed channel has no more of them; only the
// poll is left.
func (w *watcher) note(e fsnotify.Event, open bool) {
	if !open {
		w.notify.Events = nil
		return
	}
	w.noted.add(e)
	w.wake(settle)
}

// wake makes a look due after d, if d is not 0, or earlier.
func (w *watcher) wake(d time.Duration) {
	at := time.Now().Add(d)
	if d > 0 && (w.next.IsZero() || at.Before(w.next)) {
		w.next = at
		w.timer.Reset(d)
	}
}

// start begins a look, whose result arrives in looked. All notifications that are
// there are taken first.
func (w *watcher) start(ctx context.Context, looked chan<- time.Duration) {
	for taken := false; !taken; {
		select {
		case e, open := <-w.notify.Events:
			w.note(e, open)
		default:
			taken = true
		}
	}
	q := w.query
	q.noted = w.noted
	w.query, w.noted, w.due = query{}, notes{}, false
	go func() { looked <- w.scan.look(ctx, q) }()
}
