package replay_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/replay"
)

// model is a simple reference implementation of Memory.
type model struct {
	capacity int
	nonces   map[string]stored
	dropped  int64
}

type stored struct {
	client string
	last   int64
}

func (m *model) expire(now time.Time) {
	for value, r := range m.nonces {
		if r.last < now.Unix() {
			m.dropped = max(m.dropped, r.last)
			delete(m.nonces, value)
		}
	}
}

func (m *model) held(client string) (held int) {
	for _, r := range m.nonces {
		if r.client == client {
			held++
		}
	}
	return held
}

func (m *model) use(n httpsig.Nonce) refusal.Reason {
	if n.Until.Before(n.Now) {
		return refusal.ProofExpired
	}
	m.expire(n.Now)
	last := n.Until.Add(time.Second - 1).Unix()
	switch _, used := m.nonces[n.Value]; {
	case last <= m.dropped:
		return refusal.ProofExpired
	case used:
		return refusal.ProofReplayed
	case m.held(n.Client) >= m.capacity-len(m.nonces):
		return refusal.Overloaded
	}
	m.nonces[n.Value] = stored{n.Client, last}
	return ""
}

// TestMatchesModel compares Memory with the reference implementation for random
// clients, nonces and expiries and a clock that moves forward, back and far away.
func TestMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 12).Draw(t, "capacity")
		m, plain := replay.NewMemoryOf(capacity), &model{capacity: capacity, nonces: map[string]stored{}}
		now := noon
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(rapid.OneOf(
				rapid.Just(time.Duration(0)),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.IntRange(-4, 12).Draw(t, "half seconds")) * time.Second / 2
				}),
				rapid.SampledFrom([]time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour, time.Nanosecond}),
			).Draw(t, "passed"))
			n := httpsig.Nonce{
				Key: trust.KeyID{1}, Now: now,
				Client: rapid.SampledFrom([]string{"mail", "social", "web-client"}).Draw(t, "client"),
				Value:  rapid.SampledFrom(strings.Split("abcdefghijklmnopqrst", "")).Draw(t, "value"),
				Until:  now.Add(time.Duration(rapid.IntRange(-2, 20).Draw(t, "ahead")) * time.Second / 4),
			}
			want, found := plain.use(n), refusal.Reason("")
			if err := m.Use(n); err != nil {
				found = refusal.Of(err).Reason
			}
			if want != found {
				t.Fatalf("nonce %q of %s at %s until %s: want %q, found %q", n.Value, n.Client, n.Now, n.Until, want, found)
			}
			if rapid.Bool().Draw(t, "count") {
				plain.expire(now)
				if found := m.Len(now); found != len(plain.nonces) || m.Places() > capacity {
					t.Fatalf("want %d stored in at most %d places, found %d in %d", len(plain.nonces), capacity, found, m.Places())
				}
			}
		}
	})
}
