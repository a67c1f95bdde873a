package harness

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"
)

// output collects the output of a process. A goroutine that waits for a line is woken by
// each write.
type output struct {
	mu       sync.Mutex
	text     bytes.Buffer
	changed  chan struct{} // closed by the next write
	isClosed bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	o.wake()
	return n, err
}

// wake wakes all waiting goroutines. The lock must be held.
func (o *output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// Close marks the end of the output.
func (o *output) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.isClosed = true
	o.wake()
}

func (o *output) String() string {
	text, _, _ := o.since(0)
	return text
}

// Len returns the number of bytes so far, which may end in the middle of a line.
func (o *output) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}

// since returns what was written after the first bytes, and a channel that the next write
// closes.
func (o *output) since(seen int) (text string, changed <-chan struct{}, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[seen:]), o.changed, o.isClosed
}

// WaitLine waits for the first whole line that match accepts.
func (o *output) WaitLine(match func(line string) bool) (string, error) {
	return o.WaitLineSince(0, match)
}

// WaitLineSince waits for the first whole line that match accepts, after the number of bytes
// in seen.
func (o *output) WaitLineSince(seen int, match func(line string) bool) (string, error) {
	deadline := time.After(Timeout)
	for {
		text, changed, ended := o.since(seen)
		for {
			line, rest, whole := strings.Cut(text, "\n")
			if !whole {
				break
			}
			if match(line) {
				return line, nil
			}
			seen += len(line) + 1
			text = rest
		}
		if ended {
			return "", errors.New("the process has ended without the line")
		}
		select {
		case <-changed:
		case <-deadline:
			return "", errors.New("no such line in time")
		}
	}
}
