package throttle

import "time"

const (
	// pauseFactor is the pause after a failure relative to the time of its verification.
	// Failures then take a tenth of one core.
	pauseFactor = 10
	// repeatedPauseFactor replaces pauseFactor for sources that have failed, after a failure of
	// such a source. Verifications of these sources then take a fiftieth of one core, so that at
	// most one of 50 valid requests arrives during one of them and has to wait for its end.
	repeatedPauseFactor = 50
	// refusalPause is the additional pause after each failure. Reading, refusing and logging a
	// request take about a tenth of it.
	refusalPause = 500 * time.Microsecond
	// savedPause is the sum of the pauses that cause no wait after a time without
	// failures. Occasional failures therefore cause no wait.
	savedPause = time.Second
	// maxPause is the longest pause that is outstanding. Without it, a verification that
	// took long because the process was not scheduled would stop all others for a long
	// time.
	maxPause = 200 * time.Millisecond
)

// pacer bounds the time of failed verifications, from many sources together. Create one with
// [newPacer]. It is not safe for concurrent use.
type pacer struct {
	factor int       // the pause relative to the time of a failed verification
	end    time.Time // end of the pause
}

// newPacer returns a pacer that has all of savedPause.
func newPacer(factor int) pacer { return pacer{factor: factor} }

// charge adds the pause for a failed verification that took the time d and ended now.
func (p *pacer) charge(d time.Duration, now time.Time) {
	if earliest := now.Add(-savedPause); p.end.Before(earliest) {
		p.end = earliest
	}
	p.end = p.end.Add(time.Duration(p.factor)*min(d, maxPause) + refusalPause)
	if latest := now.Add(maxPause); p.end.After(latest) {
		p.end = latest
	}
}

// pause returns the time until the next verification may start.
func (p *pacer) pause(now time.Time) time.Duration { return max(0, p.end.Sub(now)) }
