//go:build linux

package main

import (
	"math"
	"time"
)

// A schedule says when each request is due, counted from the start.
type schedule struct {
	rate  float64       // requests a second; 0 is full load
	end   time.Duration // nothing becomes due after it
	total int           // nor any request beyond these
}

func newSchedule(rate float64, duration time.Duration, limit int) schedule {
	s := schedule{rate: rate, end: duration, total: math.MaxInt}
	if rate > 0 {
		s.total = int(rate * duration.Seconds())
	}
	if limit > 0 {
		s.total = min(s.total, limit)
	}
	return s
}

// due is the time that request i counts from. Flat out, that is now.
func (s schedule) due(i int, now time.Duration) time.Duration {
	if s.rate == 0 {
		return now
	}
	return time.Duration(float64(i) / s.rate * float64(time.Second))
}

// over tells whether request i never becomes due any more. At a fixed rate all
// of them do: what could not be sent in time is late, not left out.
func (s schedule) over(i int, now time.Duration) bool {
	return i >= s.total || s.rate == 0 && now >= s.end
}
