// Package watch tells when the content of files has changed.
//
// It watches the folders, not the files: a watch on a file dies with the first
// rename over it, and misses the swap of Kubernetes' ..data link, which changes
// what a mounted file is without touching its name. Because notifications can
// be lost, or not come at all on network file systems, the content is compared
// every now and then, too.
package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Settle is how long a folder must be quiet before its files are read: a writer
// may need several steps.
const Settle = 50 * time.Millisecond

// Poll is how often the content is compared without any notification.
const Poll = 10 * time.Second

// Files calls changed with the names of those files whose content is another
// than before, until ctx is done; the first time with all of them, since they
// may have changed after the caller read them and before the watch began. A file that is missing or cannot be read has
// changed when it could be read before; whoever reads it then learns why.
// changed is called by one goroutine at a time. Files returns nil when ctx is
// done, and an error when watching is not possible at all; it never returns
// early because of a file.
func Files(ctx context.Context, names []string, changed func(names []string)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	var missing []error
	for _, dir := range folders(names) {
		missing = append(missing, w.Add(dir))
	}
	if err := errors.Join(missing...); err != nil {
		return err
	}
	content := content{names: names, sums: map[string][sha256.Size]byte{}}
	poll := time.NewTicker(Poll)
	defer poll.Stop()
	settle := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			settle.Reset(Settle)
			continue
		case <-w.Errors: // such as an overflow: some event was lost
		case <-poll.C:
		case <-settle.C:
		}
		if names := content.compare(); len(names) > 0 {
			changed(names)
		}
	}
}

// folders are the distinct folders of the files.
func folders(names []string) []string {
	var dirs []string
	seen := map[string]bool{}
	for _, name := range names {
		if dir := filepath.Dir(name); !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	return dirs
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
