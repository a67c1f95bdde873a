//go:build linux

package main

import (
	"math"
	"time"
)

// percentile is the smallest of the sorted values that at least the share q of
// them (0 to 1) does not exceed: the nearest rank, never interpolated. Of no
// values it is 0.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
