package throttle

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting is how many of one standing may wait: enough for every client to
	// come again at once behind one load balancer, when a reload has made the
	// gateway forget them. A verification takes a tenth of a millisecond, so the
	// last of them still has his turn in time.
	maxWaiting = 2048
	// maxOfSource is how many of them may come from one source, so that nobody
	// can fill the line alone.
	maxOfSource = maxWaiting / 2
	// maxWait is how long anybody waits for his turn.
	maxWait = time.Second
)

// standing says who goes first. Within a standing, who came first does.
type standing int

const (
	innocent  standing = iota
	suspect            // its source has no budget left
	standings          // how many there are
)

// turnstile lets only some in at the same time.
type turnstile struct {
	mu       sync.Mutex
	free     int
	lines    [standings][]*waiter
	bySource map[source]int // waiting
}

type waiter struct {
	source source
	turn   chan struct{} // closed when it has come
}

func newTurnstile(width int) *turnstile {
	return &turnstile{free: width, bySource: map[source]int{}}
}

// enter waits for a turn and reports whether it came. Whoever is in must leave.
func (t *turnstile) enter(s standing, from source) bool {
	w, in := t.queue(s, from)
	if w == nil {
		return in
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.turn:
		return true
	case <-timer.C:
		return t.giveUp(s, w)
	}
}

// queue is a place in the line, or nil: then the way was free, or the line is too
// long.
func (t *turnstile) queue(s standing, from source) (w *waiter, in bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 { // nobody is waiting: leave would have let him in
		t.free--
		return nil, true
	}
	if len(t.lines[s]) >= maxWaiting || t.bySource[from] >= maxOfSource {
		return nil, false
	}
	w = &waiter{from, make(chan struct{})}
	t.lines[s] = append(t.lines[s], w)
	t.bySource[from]++
	return w, false
}

// giveUp leaves the line, unless the turn has come in the last moment.
func (t *turnstile) giveUp(s standing, w *waiter) (in bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.lines[s], w)
	if i < 0 {
		return true
	}
	t.lines[s] = slices.Delete(t.lines[s], i, i+1)
	t.forget(w)
	return false
}

// leave lets the next one in.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, line := range t.lines {
		if len(line) > 0 {
			t.lines[s] = line[1:]
			t.forget(line[0])
			close(line[0].turn)
			return
		}
	}
	t.free++
}

func (t *turnstile) forget(w *waiter) {
	if t.bySource[w.source]--; t.bySource[w.source] == 0 {
		delete(t.bySource, w.source)
	}
}
