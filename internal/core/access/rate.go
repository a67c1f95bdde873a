package access

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxRequests is the largest count of a rate and the largest burst. The longest unit is an
// hour, so the time to fill a bucket fits into a [time.Duration].
const maxRequests = 1_000_000

// rate describes a token bucket that holds burst tokens and gets count tokens per unit.
type rate struct {
	count int
	unit  byte // s, m or h
	burst int
}

// parseRate parses a rate such as "200/s". The burst is the number of tokens of one second,
// and at least 1.
func parseRate(text string) (rate, error) {
	count, unit, _ := strings.Cut(text, "/")
	n, ok := parseCount(count)
	if !ok || len(unit) != 1 || period(unit[0]) == 0 {
		return rate{}, fmt.Errorf("want a rate such as 200/s, 200/m or 200/h with a whole number from 1 to %d, found %.40q", maxRequests, text)
	}
	r := rate{count: n, unit: unit[0]}
	r.burst = max(1, n/int(period(r.unit)/time.Second))
	return r, nil
}

func parseBurst(text string) (int, error) {
	n, ok := parseCount(text)
	if !ok {
		return 0, fmt.Errorf("want a burst that is a whole number from 1 to %d, found %.40q", maxRequests, text)
	}
	return n, nil
}

// parseCount parses a decimal number in its shortest form.
func parseCount(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= maxRequests && strconv.Itoa(n) == text
}

func period(unit byte) time.Duration {
	switch unit {
	case 's':
		return time.Second
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	default:
		return 0
	}
}

// interval returns the time per token, rounded up to whole nanoseconds, so that the rate is
// never exceeded.
func (r rate) interval() time.Duration {
	return (period(r.unit) + time.Duration(r.count) - 1) / time.Duration(r.count)
}

func (r rate) String() string { return fmt.Sprintf("%d/%c, burst %d", r.count, r.unit, r.burst) }

// limiter returns the limiter of a rule, or nil for a rule without a rate or with an invalid
// one, which is an error.
func (c *compiler) limiter(i int, r Rule) *limiter {
	if r.Rate == "" {
		if r.Burst != "" {
			c.fault("rules", i, "rate", -1, errors.New("want a rate beside burst, found none"))
		}
		return nil
	}
	parsed, err := parseRate(r.Rate)
	if err != nil {
		c.fault("rules", i, "rate", -1, err)
	}
	if r.Burst != "" {
		burst, burstErr := parseBurst(r.Burst)
		if burstErr != nil {
			c.fault("rules", i, "burst", -1, burstErr)
		}
		parsed.burst, err = burst, errors.Join(err, burstErr)
	}
	if err != nil {
		return nil
	}
	return newLimiter(parsed)
}
