// Package filewatch reports complete new contents of files.
//
// A file that is replaced in one step is reported immediately: by a rename over the file,
// or by the replacement of a symbolic link on its path, such as ..data of Kubernetes. A
// file that is written in place may be incomplete at any time, so it is reported only
// after it has not changed for [Quiet].
//
// The package watches folders instead of files, because a watch on a file ends with a
// rename over the file and does not detect the replacement of a link. Notifications can be
// lost, and network file systems send none, so contents are also compared every [Poll].
package filewatch

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

const (
	// Quiet is the time for which size, modification time and content of a file that was
	// changed in place must not change before it is reported.
	Quiet = 2 * time.Second
	// Poll is the interval of scans without a notification.
	Poll = 10 * time.Second
	// settleDelay is the time from a notification to the scan, and the time for which a
	// file that was replaced in one step must not change.
	settleDelay = 50 * time.Millisecond
	// maxPaths limits the number of paths with notifications between two scans.
	maxPaths = 1000
)

// Sum is the SHA-256 of a content.
type Sum = [sha256.Size]byte

// Options configures [Files]. Names and Report are required.
type Options struct {
	Names []string
	// Known has the hash sums of the contents that the caller has loaded, by name. The
	// content of another file is reported like a change in place.
	Known map[string]Sum
	// Rescan requests a scan with a report, even if no file has changed. It does not
	// shorten Quiet.
	Rescan <-chan struct{}
	// Report is not called concurrently, and not after the context is done. A call may
	// still be running after Files has returned.
	Report func(Result)
}

// Result is the result of a scan.
type Result struct {
	// Changed has the files with new, complete contents. A file has Err if it cannot be
	// read any more; otherwise it is a regular file of at most [regularfile.MaxBytes].
	Changed []regularfile.File
	// Waiting has the names of the files that were changed in place less than Quiet ago.
	Waiting []string
	// Requested reports whether the scan was requested by Options.Rescan.
	Requested bool
}

// timing has the values of Quiet and Poll, or shorter ones in tests.
type timing struct{ quiet, poll time.Duration }

// Files reports changes until ctx is done. It returns nil then, without waiting for a
// file that is being read, because reading from an unresponsive file system cannot be
// cancelled. Files returns an error if the folder of a file cannot be watched at the start.
// It reports errors of files in [Result].
func Files(ctx context.Context, o Options) error {
	return files(ctx, o, timing{Quiet, Poll})
}

// files is Files with other times.
func files(ctx context.Context, o Options, t timing) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = notify.Close() }()
	if err := watchFolders(notify, o.Names); err != nil {
		return err
	}
	w := &watcher{poll: t.poll, rescan: o.Rescan, notify: notify, scanner: newScanner(o, t.quiet, notify), events: events{}}
	w.run(ctx)
	return nil
}

// watcher schedules the scans. Its fields belong to the goroutine of run, except scanner,
// which belongs to the running scan.
type watcher struct {
	poll    time.Duration
	rescan  <-chan struct{}
	notify  *fsnotify.Watcher
	scanner *scanner

	timer   *time.Timer
	timerAt time.Time   // when the timer fires; zero if it is not running
	due     bool        // a scan is due
	next    scanOptions // of the scan that is due
	events  events      // for the scan that is due
}

// run starts a scan whenever one is due and none is running.
func (w *watcher) run(ctx context.Context) {
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	w.timer = time.NewTimer(w.poll)
	defer w.timer.Stop()
	w.due, w.next.full = true, true
	scanned := make(chan time.Duration, 1)
	scanning := false
	failures := w.notify.Errors
	for {
		if w.due && !scanning {
			scanning = true
			w.startScan(ctx, scanned)
		}
		select {
		case <-ctx.Done():
			return
		case wait := <-scanned:
			scanning = false
			w.schedule(wait)
		case e, open := <-w.notify.Events:
			w.addEvent(e, open)
		case _, open := <-failures: // such as an overflow: notifications were lost
			if !open {
				failures = nil
				continue
			}
			w.events.addLost()
			w.due, w.next.full = true, true
		case <-poll.C:
			w.due, w.next.full = true, true
		case <-w.timer.C:
			w.due, w.timerAt = true, time.Time{}
		case <-w.rescan:
			w.due, w.next.full, w.next.requested = true, true, true
		}
	}
}

// addEvent adds one notification. After the channel was closed, only the poll remains.
func (w *watcher) addEvent(e fsnotify.Event, open bool) {
	if !open {
		w.notify.Events = nil
		return
	}
	w.events.add(e)
	w.schedule(settleDelay)
}

// schedule makes a scan due after d at the latest. It does nothing if d is 0.
func (w *watcher) schedule(d time.Duration) {
	at := time.Now().Add(d)
	if d > 0 && (w.timerAt.IsZero() || at.Before(w.timerAt)) {
		w.timerAt = at
		w.timer.Reset(d)
	}
}

// startScan starts a scan, which sends its result to scanned. It takes all pending
// notifications first.
func (w *watcher) startScan(ctx context.Context, scanned chan<- time.Duration) {
	for pending := true; pending; {
		select {
		case e, open := <-w.notify.Events:
			w.addEvent(e, open)
		default:
			pending = false
		}
	}
	o := w.next
	o.events = w.events
	w.next, w.events, w.due = scanOptions{}, events{}, false
	go func() { scanned <- w.scanner.scan(ctx, o) }()
}
