//go:build linux

package main

import (
	"math"
	"time"
)

// schedule determines when each request is due. Times count from the start.
type schedule struct {
	rate  float64       // requests per second; 0 is full load
	end   time.Duration // no request becomes due after this time
	total int           // maximum number of requests
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

// due returns the time at which request i is due. At full load that is now.
func (s schedule) due(i int, now time.Duration) time.Duration {
	if s.rate == 0 {
		return now
	}
	return time.Duration(float64(i) / s.rate * float64(time.Second))
}

// over reports whether request i will not become due. At a fixed rate every request becomes
// due: requests that cannot be sent in time are sent late and not omitted.
func (s schedule) over(i int, now time.Duration) bool {
	return i >= s.total || s.rate == 0 && now >= s.end
}
