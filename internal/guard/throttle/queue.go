package throttle

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting is the number of requests of one priority that may wait. It is enough for
	// every client behind one load balancer to return at once after a reload has emptied the
	// certificate cache. A verification takes about 0.1 ms, so the last request is still served in time.
	maxWaiting = 2048
	// maxOfSource is the number of waiting requests of one source, so that a source cannot
	// fill the queue alone.
	maxOfSource = maxWaiting / 2
	// maxWait is the longest time that a request waits.
	maxWait = time.Second
)

// priority orders waiting requests. Requests of one priority are served in the order of
// arrival.
type priority int

const (
	regular    priority = iota
	suspect             // the source has no budget left
	priorities          // number of priorities
)

// verifyQueue limits concurrent verifications. It is safe for concurrent use.
type verifyQueue struct {
	mu       sync.Mutex
	free     int
	waiting  [priorities][]*waiter
	bySource map[source]int // number of waiting requests
}

type waiter struct {
	source source
	turn   chan struct{} // closed when the request may proceed
}

func newVerifyQueue(width int) *verifyQueue {
	return &verifyQueue{free: width, bySource: map[source]int{}}
}

// enter waits for a turn and reports whether it came. After true the caller must call leave.
func (q *verifyQueue) enter(s priority, from source) bool {
	w, admitted := q.enqueue(s, from)
	if w == nil {
		return admitted
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.turn:
		return true
	case <-timer.C:
		return q.giveUp(s, w)
	}
}

// enqueue appends a waiter. It returns nil and true if no wait is needed, and nil and false
// if too many requests wait.
func (q *verifyQueue) enqueue(s priority, from source) (w *waiter, admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 { // no request waits: leave would have admitted it
		q.free--
		return nil, true
	}
	if len(q.waiting[s]) >= maxWaiting || q.bySource[from] >= maxOfSource {
		return nil, false
	}
	w = &waiter{from, make(chan struct{})}
	q.waiting[s] = append(q.waiting[s], w)
	q.bySource[from]++
	return w, false
}

// giveUp removes a waiter from the queue. It reports true if the waiter was admitted in the
// meantime.
func (q *verifyQueue) giveUp(s priority, w *waiter) (admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting[s], w)
	if i < 0 {
		return true
	}
	q.waiting[s] = slices.Delete(q.waiting[s], i, i+1)
	q.countDown(w)
	return false
}

// leave ends a verification and admits the next waiter.
func (q *verifyQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p, line := range q.waiting {
		if len(line) > 0 {
			q.waiting[p] = line[1:]
			q.countDown(line[0])
			close(line[0].turn)
			return
		}
	}
	q.free++
}

// countDown removes a waiter from the count of its source.
func (q *verifyQueue) countDown(w *waiter) {
	if q.bySource[w.source]--; q.bySource[w.source] == 0 {
		delete(q.bySource, w.source)
	}
}
