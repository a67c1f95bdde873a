package status

import (
	"strconv"
	"time"
)

// span returns a duration in its largest unit, such as "3 h".
func span(d time.Duration) string {
	day := 24 * time.Hour
	switch d = max(d, -d); {
	case d >= 2*day:
		return strconv.FormatInt(int64(d/day), 10) + " days"
	case d >= 2*time.Hour:
		return strconv.FormatInt(int64(d/time.Hour), 10) + " h"
	case d >= 2*time.Minute:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min"
	default:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	}
}

// ago returns the time since t, or "never".
func (s *Status) ago(t time.Time) string {
	switch d := s.Time.Sub(t); {
	case t.IsZero():
		return "never"
	case d < time.Second: // a clock of another replica may be ahead
		return "now"
	default:
		return span(d) + " ago"
	}
}

// ends describes the end of a validity period in a sentence.
func (s *Status) ends(t time.Time) string {
	if t.Before(s.Time) {
		return "expired on " + stamp(t)
	}
	return "expires in " + span(t.Sub(s.Time)) + ", on " + stamp(t)
}

// expiryLevel returns the level of a notice about a validity period.
func (s *Status) expiryLevel(t time.Time) Level {
	if t.Before(s.Time) {
		return Error
	}
	return Warning
}

// stamp returns a time in UTC to the minute, or "–" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// count returns a number with a comma before each group of three digits.
func count[T int | int64 | uint64](n T) string {
	return string(appendCount(nil, n))
}

// appendCount appends what count returns.
func appendCount[T int | int64 | uint64](b []byte, n T) []byte {
	var space [20]byte // of the longest number
	digits := strconv.AppendInt(space[:0], int64(n), 10)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b = append(b, ',')
		}
		b = append(b, d)
	}
	return b
}

// plural returns the number with one of two endings.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
