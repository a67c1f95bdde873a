package throttle

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// minDelay is the shortest delay of a refusal.
	minDelay = 100 * time.Millisecond
	// releaseInterval is the time between two released refusals. It limits a flood to
	// 500 verifications per second, regardless of its connections, and spreads its requests.
	releaseInterval = 2 * time.Millisecond
	// maxDelayed is the number of refusals that are delayed at the same time, for up to two
	// seconds. Each occupies a connection and a goroutine, about 20 kB.
	maxDelayed = 1024
)

// delayer delays refusals. A refusal needs a slot.
type delayer struct {
	slots chan struct{}
	total atomic.Uint64

	mu   sync.Mutex
	last time.Time // release time of the last delayed refusal
}

func newDelayer() *delayer { return &delayer{slots: make(chan struct{}, maxDelayed)} }

// acquire takes a slot and reports whether one was free.
func (d *delayer) acquire() bool {
	select {
	case d.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// release returns a slot.
func (d *delayer) release() { <-d.slots }

// sleep delays the caller, which must hold a slot.
func (d *delayer) sleep() {
	d.total.Add(1)
	time.Sleep(d.delay(time.Now()))
}

// delay returns the time until the next release and reserves it.
func (d *delayer) delay(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := now.Add(minDelay)
	if after := d.last.Add(releaseInterval); after.After(next) {
		next = after
	}
	d.last = next
	return next.Sub(now)
}
