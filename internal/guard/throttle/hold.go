package throttle

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// holdBack is how long a refusal is held back at least.
	holdBack = 100 * time.Millisecond
	// gap is between two that are let go. So a flood costs no more than 500
	// verifications a second, however many connections it has, and its requests
	// do not come all at once.
	gap = 2 * time.Millisecond
	// maxHeld is how many may be held back at the same time, for two seconds then.
	// Each takes its connection and a goroutine, some 20 kB.
	maxHeld = 1024
)

// hold are the refusals that are held back.
type hold struct {
	places chan struct{}
	total  atomic.Uint64

	mu   sync.Mutex
	last time.Time // when the last one of all goes
}

func newHold() *hold { return &hold{places: make(chan struct{}, maxHeld)} }

// take is a place, if there is one.
func (h *hold) take() bool {
	select {
	case h.places <- struct{}{}:
		return true
	default:
		return false
	}
}

// give returns what take took.
func (h *hold) give() { <-h.places }

// wait holds the caller back, who has a place.
func (h *hold) wait() {
	h.total.Add(1)
	time.Sleep(h.delay(time.Now()))
}

func (h *hold) delay(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := now.Add(holdBack)
	if after := h.last.Add(gap); after.After(next) {
		next = after
	}
	h.last = next
	return next.Sub(now)
}
