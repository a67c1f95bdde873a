package audit

import (
	"fmt"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// retryAfter tells clients when to try again while the log cannot be written.
const retryAfter = time.Second

// Refusal returns why a request must be refused before anything is decided, or nil.
// With the policy [Refuse] that is [refusal.Overloaded] while no line can be written.
func (r *Recorder) Refusal() *refusal.Error {
	if r.buffer == nil || r.buffer.policy != Refuse {
		return nil
	}
	err := r.buffer.Unwritable()
	if err == nil {
		return nil
	}
	d := refusal.New(refusal.Overloaded, "the log cannot be written: %v", err)
	d.RetryAfter = retryAfter
	return d
}

// Ready returns why the log is a reason to send requests elsewhere, or nil: lines
// are being lost, or requests are refused because no line can be written.
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

func (r *Recorder) linesLost() float64 {
	if r.buffer == nil {
		return 0
	}
	return float64(r.buffer.Lost())
}
