package access

import (
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// limiter has one token bucket for each client that used a rule. It is safe for
// concurrent use.
//
// A bucket is stored as the time at which it will be full again (the virtual
// scheduling form of the generic cell rate algorithm). Each token taken moves that time
// one interval into the future, up to burst intervals from now. The calculation is exact,
// and a clock that goes back yields no additional token: an earlier time is refused until
// the clock has caught up.
//
// A client without a stored bucket has a full one, so full buckets need not be stored.
type limiter struct {
	rate     rate
	interval time.Duration
	fill     time.Duration // time in which an empty bucket becomes full

	mu      sync.Mutex
	full    map[string]time.Time // when the bucket of a client is full again
	sweepAt int                  // number of buckets at which full ones are dropped
}

// leastSwept is the smallest number of buckets at which full ones are dropped.
const leastSwept = 1024

func newLimiter(r rate) *limiter {
	return &limiter{
		rate: r, interval: r.interval(), fill: time.Duration(r.burst) * r.interval(),
		full: map[string]time.Time{}, sweepAt: leastSwept,
	}
}

// take takes a token from the client's bucket. Without a token it returns the time until
// the next one.
func (l *limiter) take(client string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full, kept := l.full[client]
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait = full.Add(-l.fill).Sub(now); wait > 0 {
		return wait
	}
	if !kept && len(l.full) >= l.sweepAt {
		l.sweep(now)
	}
	l.full[client] = full
	return 0
}

// used returns the part of the client's bucket that is used, from 0 to 1.
func (l *limiter) used(client string, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(1, max(0, float64(l.full[client].Sub(now))/float64(l.fill)))
}

// sweep drops the full buckets. The next sweep is at twice the number of buckets that
// remain, so the cost for each new bucket is constant. A new map releases the memory of
// the old one.
func (l *limiter) sweep(now time.Time) {
	left := map[string]time.Time{}
	for client, full := range l.full {
		if full.After(now) {
			left[client] = full
		}
	}
	l.full, l.sweepAt = left, max(leastSwept, 2*len(left))
}

// Rate returns the rate and burst of the rule, such as "200/s, burst 400", or "" for a
// rule without a rate.
func (g *Grant) Rate() string {
	if g.rule == nil || g.rule.limiter == nil {
		return ""
	}
	return g.rule.limiter.rate.String()
}

// Take takes one token, at the time now, from the client's bucket for the rule
// [Grant.Rule]. Other rules that would also grant the request lose no token. Take always
// succeeds for a rule without a rate.
//
// Without a token the error is a [*refusal.Error] with reason RateLimited and the time
// until the next token. The zero Grant is refused with AccessDenied. All times of a
// process should come from one clock, with its monotonic reading.
func (g *Grant) Take(now time.Time) error {
	if !g.Valid() {
		return refusal.New(refusal.AccessDenied, "want a grant, found a zero value")
	}
	if g.rule.limiter == nil {
		return nil
	}
	wait := g.rule.limiter.take(g.client.Name(), now)
	if wait <= 0 {
		return nil
	}
	refused := refusal.New(refusal.RateLimited, "client %q is over the rate of rule %q: %s", g.client.Name(), g.rule.name, g.rule.limiter.rate)
	refused.RetryAfter = wait
	return refused
}

// RateUse returns a function that reports the part of a client's bucket for a rule that is
// used at the time now, from 0 to 1, and whether a rule of that name has a rate. p may be
// nil.
func (p *Policy) RateUse(now time.Time) func(rule, client string) (used float64, hasRate bool) {
	limiters := p.limiters()
	return func(rule, client string) (float64, bool) {
		l := limiters[rule]
		if l == nil {
			return 0, false
		}
		return l.used(client, now), true
	}
}

// limiters returns the buckets of each rule with a rate, by its name. p may be nil.
func (p *Policy) limiters() map[string]*limiter {
	limiters := map[string]*limiter{}
	if p == nil {
		return limiters
	}
	for _, r := range p.rules {
		if r.limiter != nil {
			limiters[r.name] = r.limiter
		}
	}
	return limiters
}

// After returns p with the buckets of an earlier policy for every rule whose name, rate
// and burst have not changed, so that a reload of the same rules fills no bucket. The two
// policies share those buckets. After changes neither p nor earlier; either may be nil.
func (p *Policy) After(earlier *Policy) *Policy {
	if p == nil || earlier == nil {
		return p
	}
	limiters := earlier.limiters()
	next := *p
	next.rules = make([]compiledRule, len(p.rules))
	for i, r := range p.rules {
		if l := limiters[r.name]; r.limiter != nil && l != nil && l.rate == r.limiter.rate {
			r.limiter = l
		}
		next.rules[i] = r
	}
	return &next
}
