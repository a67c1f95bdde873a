package access_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
)

// model is a textbook token bucket: its level rises with time, in units of 1/interval
// tokens, so that it is exact.
type model struct {
	interval, level, top time.Duration
	last                 time.Time
}

func (m *model) take(now time.Time) bool {
	m.level, m.last = min(m.top, m.level+now.Sub(m.last)), now
	if m.level < m.interval {
		return false
	}
	m.level -= m.interval
	return true
}

// TestTakeIsATokenBucket compares random requests with the model: the same requests pass,
// with the same RetryAfter.
func TestTakeIsATokenBucket(t *testing.T) {
	mail := client(t, "mail")
	rapid.Check(t, func(t *rapid.T) {
		rates := map[string]time.Duration{"1/s": time.Second, "3/s": time.Second/3 + 1, "200/s": 5 * time.Millisecond, "7/m": time.Minute/7 + 1, "9/h": 400 * time.Second}
		rate := rapid.SampledFrom([]string{"1/s", "3/s", "200/s", "7/m", "9/h"}).Draw(t, "rate")
		burst := rapid.IntRange(1, 6).Draw(t, "burst")
		policy, err := access.Compile([]access.Rule{limited("a", rate, string(rune('0'+burst)))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, _ := access.ParseTarget("/a")
		g, _ := policy.Decide(mail, "GET", path)
		top := time.Duration(burst) * rates[rate]
		m, now := model{rates[rate], top, top, noon}, noon
		for range rapid.IntRange(1, 50).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*rates[rate])).Draw(t, "pause")))
			err, want := g.Take(now), m.take(now)
			if (err == nil) != want {
				t.Fatalf("Take = %v, want it to pass: %t", err, want)
			}
			if err == nil {
				continue
			}
			if wait := refusal.Of(err).RetryAfter; wait != m.interval-m.level {
				t.Fatalf("the next token comes in %s, want %s", wait, m.interval-m.level)
			}
			if rapid.Bool().Draw(t, "impatient") {
				continue
			}
			now = now.Add(refusal.Of(err).RetryAfter)
			if !m.take(now) || g.Take(now) != nil {
				t.Fatal("want a token after RetryAfter, found a refusal")
			}
		}
	})
}
