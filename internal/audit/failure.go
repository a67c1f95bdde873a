package audit

import (
	"fmt"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// retryAfter is the Retry-After of refusals while the log cannot be written.
const retryAfter = time.Second

// Refusal returns the refusal of a request that must not be processed, or nil. With the
// policy [Refuse] it returns [refusal.Overloaded] while no log line can be written.
func (r *Recorder) Refusal() *refusal.Error {
	if r.buffer == nil || r.buffer.policy != Refuse {
		return nil
	}
	err := r.buffer.Unwritable()
	if err == nil {
		return nil
	}
	refused := refusal.New(refusal.Overloaded, "the log cannot be written: %v", err)
	refused.RetryAfter = retryAfter
	return refused
}

// Ready returns an error if load balancers should send requests to another gateway,
// because log lines are being lost or because requests are refused while no line can be
// written.
func (r *Recorder) Ready() error {
	if refused := r.Refusal(); refused != nil {
		return refused
	}
	if r.buffer == nil {
		return nil
	}
	if err := r.buffer.Losing(); err != nil {
		return fmt.Errorf("log lines are being lost, %d so far: %w", r.buffer.Lost(), err)
	}
	return nil
}

// LogBuffer returns the number of log bytes that are not written yet, and the maximum.
func (r *Recorder) LogBuffer() (pending, capacity int64) {
	if r.buffer == nil {
		return 0, maxPending
	}
	return int64(r.buffer.Pending()), maxPending
}

// LinesLost returns the number of log lines that were dropped.
func (r *Recorder) LinesLost() uint64 {
	if r.buffer == nil {
		return 0
	}
	return r.buffer.Lost()
}
