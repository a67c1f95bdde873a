package throttle

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting is the number of requests of one priority that may wait. It is enough for
	// the clients behind one load balancer to send requests at the same time after a reload
	// has emptied the certificate cache. A verification takes about 0.1 ms, so the last
	// request is still served in time.
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
	known      priority = iota // a credential from the source was accepted
	regular                    // the source is new
	failing                    // the source has failed, within its budget
	suspect                    // the source has no budget left
	priorities                 // number of priorities that wait
	immediate                  // does not wait for a turn
)

// hasFailed reports whether sources with this priority have failed. A source with an accepted
// credential counts only while it is over its budget.
func (p priority) hasFailed() bool { return p == failing || p == suspect }

// verifyQueue limits concurrent verifications. After failed verifications it admits only
// known sources until the pause is over, which is longer for sources that have failed. It is
// safe for concurrent use.
type verifyQueue struct {
	mu       sync.Mutex
	free     int
	waiting  [priorities][]*waiter
	bySource map[source]int // number of waiting requests
	all      pacer          // of all failures
	repeated pacer          // of the failures of sources that had failed before
	resume   time.Time      // when the timer admits waiters, or the zero time
	timer    *time.Timer    // nil before its first use
}

type waiter struct {
	source source
	turn   chan struct{} // closed when the request may proceed
}

func newVerifyQueue(width int) *verifyQueue {
	return &verifyQueue{
		free: width, bySource: map[source]int{},
		all: newPacer(pauseFactor), repeated: newPacer(repeatedPauseFactor),
	}
}

// enter waits for a turn and reports whether it came. After true the caller must call leave.
func (q *verifyQueue) enter(p priority, from source) bool {
	w, admitted := q.enqueue(p, from)
	if w == nil {
		return admitted
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.turn:
		runtime.Gosched() // Goroutines that are ready run before a long verification.
		return true
	case <-timer.C:
		return q.giveUp(p, w)
	}
}

// enqueue appends a waiter. It returns nil and true if no wait is needed, and nil and false
// if too many requests wait.
func (q *verifyQueue) enqueue(p priority, from source) (w *waiter, admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	// While a turn is free, requests wait only for the end of a pause.
	if q.admit(); q.free > 0 && q.pause(p) == 0 {
		q.free--
		return nil, true
	}
	if len(q.waiting[p]) >= maxWaiting || q.bySource[from] >= maxOfSource {
		return nil, false
	}
	w = &waiter{from, make(chan struct{})}
	q.waiting[p] = append(q.waiting[p], w)
	q.bySource[from]++
	q.admit()
	return w, false
}

// giveUp removes a waiter from the queue. It reports true if the waiter was admitted in the
// meantime.
func (q *verifyQueue) giveUp(p priority, w *waiter) (admitted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting[p], w)
	if i < 0 {
		return true
	}
	q.waiting[p] = slices.Delete(q.waiting[p], i, i+1)
	q.countDown(w)
	return false
}

// leave ends a verification and admits the next waiter.
func (q *verifyQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.admit()
}

// charge adds the pause for a failed verification of a source with this priority.
func (q *verifyQueue) charge(p priority, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.all.charge(d, now)
	if p.hasFailed() {
		q.repeated.charge(d, now)
	}
}

// pause returns the time until a source with this priority may be verified. It is never
// shorter than that of a higher priority. The caller holds the lock.
func (q *verifyQueue) pause(p priority) time.Duration {
	now := time.Now()
	switch {
	case p == known:
		return 0
	case p.hasFailed():
		return max(q.all.pause(now), q.repeated.pause(now))
	}
	return q.all.pause(now)
}

// admit gives free turns to waiters. If one has to wait for the end of a pause, admit starts
// a timer, and those after it have to wait as well. The caller holds the lock.
func (q *verifyQueue) admit() {
	for q.free > 0 {
		p := slices.IndexFunc(q.waiting[:], func(line []*waiter) bool { return len(line) > 0 })
		if p < 0 {
			return
		}
		if pause := q.pause(priority(p)); pause > 0 {
			q.resumeAfter(pause)
			return
		}
		w := q.waiting[p][0]
		q.waiting[p] = q.waiting[p][1:]
		q.countDown(w)
		q.free--
		close(w.turn)
	}
}

// resumeAfter admits waiters after the pause. The caller holds the lock.
func (q *verifyQueue) resumeAfter(pause time.Duration) {
	at := time.Now().Add(pause)
	if !q.resume.IsZero() && !at.Before(q.resume) {
		return // the timer runs and fires no later
	}
	q.resume = at
	if q.timer != nil {
		q.timer.Reset(pause)
		return
	}
	q.timer = time.AfterFunc(pause, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.resume = time.Time{}
		q.admit()
	})
}

// countDown removes a waiter from the count of its source.
func (q *verifyQueue) countDown(w *waiter) {
	if q.bySource[w.source]--; q.bySource[w.source] == 0 {
		delete(q.bySource, w.source)
	}
}
