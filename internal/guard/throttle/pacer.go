package throttle

import "time"

const (
	// refusalCost is added to the time of each failed verification. It is the time for
	// reading, refusing and logging a request.
	refusalCost = 50 * time.Microsecond
	// pauseFactor is the pause after a failure relative to its time. Failures then take a
	// tenth of one core.
	pauseFactor = 10
	// savedPause is the sum of the pauses that cause no wait after a time without
	// failures. Occasional failures therefore cause no wait.
	savedPause = time.Second
	// maxPause is the longest pause that is outstanding. Without it, a verification that
	// took long because the process was not scheduled would stop all others for a long
	// time.
	maxPause = 200 * time.Millisecond
)

// pacer bounds the time of failed verifications, from all sources together. The zero value
// has all of savedPause. It is not safe for concurrent use.
type pacer struct {
	end time.Time // end of the pause
}

// charge adds the pause for a failed verification that took the time d and ended now.
func (p *pacer) charge(d time.Duration, now time.Time) {
	if earliest := now.Add(-savedPause); p.end.Before(earliest) {
		p.end = earliest
	}
	p.end = p.end.Add((min(d, maxPause) + refusalCost) * pauseFactor)
	if latest := now.Add(maxPause); p.end.After(latest) {
		p.end = latest
	}
}

// pause returns the time until the next verification may start.
func (p *pacer) pause(now time.Time) time.Duration { return max(0, p.end.Sub(now)) }
