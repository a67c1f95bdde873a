// Package watch tells when the content of files has changed.
//
// It watches folders, not files: a watch on a file dies with the first rename
// over it, and misses the swap of Kubernetes' ..data link, which changes what a
// mounted file is without touching its name. Because notifications can be lost,
// or not come at all on network file systems, the content is compared every now
// and then, too.
package watch

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Settle is how long the folders must be quiet before the files are read: a
// writer may need several steps.
const Settle = 50 * time.Millisecond

// Poll is how often the content is compared without any notification.
const Poll = 10 * time.Second

// Files calls changed with the names of those files whose content is another
// than before, until ctx is done; the first time with all of them, since they
// may have changed after the caller read them and before the watch began. A file
// that is missing or cannot be read has changed when it could be read before;
// whoever reads it then learns why.
//
// changed is called by one goroutine at a time. Files returns nil when ctx is
// done, and an error when a file's folder cannot be watched at the start; it
// never returns early because of a file.
func Files(ctx context.Context, names []string, changed func(names []string)) error {
	return files(ctx, names, Poll, changed)
}

func files(ctx context.Context, names []string, every time.Duration, changed func(names []string)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	if err := follow(w, names); err != nil {
		return err
	}
	content := content{names: names, sums: map[string][sha256.Size]byte{}}
	poll := time.NewTicker(every)
	defer poll.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	events, failures := w.Events, w.Errors
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-events:
			if !open { // no more notifications; the poll goes on
				events, failures = nil, nil
			}
			settle.Reset(Settle)
			continue
		case <-failures: //nolint:errcheck // such as an overflow: some event was lost, so look
		case <-poll.C:
		case <-settle.C:
		}
		// Before reading: what happens in a new folder from now on is an event.
		_ = follow(w, names) // the poll does without
		if names := content.compare(); len(names) > 0 && ctx.Err() == nil {
			changed(names)
		}
	}
}

// content remembers what the files held.
type content struct {
	names []string
	sums  map[string][sha256.Size]byte
}

func (c *content) compare() (changed []string) {
	for _, name := range c.names {
		var sum [sha256.Size]byte // of a file that cannot be read: zero
		if text, err := os.ReadFile(name); err == nil {
			sum = sha256.Sum256(text)
		}
		if before, known := c.sums[name]; !known || sum != before {
			c.sums[name] = sum
			changed = append(changed, name)
		}
	}
	return changed
}
