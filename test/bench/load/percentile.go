//go:build linux

package main

import (
	"math"
	"time"
)

// percentile returns the smallest of the sorted values that is greater than or equal to a
// share of at least q (0 to 1) of the values: the nearest rank, without interpolation. It
// returns 0 if there are no values.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
