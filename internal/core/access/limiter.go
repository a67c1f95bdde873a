package access

import (
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// limiter has one token bucket for each client that used a rule. It is safe for
// concurrent use.
//
// A bucket is kept as the time at which it will be full again (the virtual
// scheduling form of the generic cell rate algorithm): a token taken puts that
// time off by one interval, and it may not be further away than burst intervals.
// That is one number, exact, and no clock that goes back gains a token by it;
// who comes with an earlier time is refused until it has passed again.
//
// A client without a bucket has a full one, so a full one need not be kept.
type limiter struct {
	rate     rate
	interval time.Duration
	fill     time.Duration // in which an empty bucket fills

	mu      sync.Mutex
	full    map[string]time.Time // when the client's bucket is full again
	sweepAt int                  // how many buckets are looked through
}

// leastSwept is how many buckets are too few to look for full ones.
const leastSwept = 1024

func newLimiter(r rate) *limiter {
	return &limiter{
		rate: r, interval: r.interval(), fill: time.Duration(r.burst) * r.interval(),
		full: map[string]time.Time{}, sweepAt: leastSwept,
	}
}

// take takes a token from the client's bucket. When there is none it takes
// nothing and returns how long it is until the next one.
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

// sweep drops the buckets that are full. It waits until there are twice as many
// as it left, so its cost for each new bucket is constant; the new map lets go
// of the old one's memory.
func (l *limiter) sweep(now time.Time) {
	left := map[string]time.Time{}
	for client, full := range l.full {
		if full.After(now) {
			left[client] = full
		}
	}
	l.full, l.sweepAt = left, max(leastSwept, 2*len(left))
}

// Rate is the rate and burst of the rule, as "200/s, burst 400", and "" when it
// has none.
func (g Grant) Rate() string {
	if g.rule == nil || g.rule.limiter == nil {
		return ""
	}
	return g.rule.limiter.rate.String()
}

// Take takes one token from the bucket that the client has with the rule, at
// the time now; a rule without a rate has tokens without end. The bucket is the
// one of [Grant.Rule] alone, whatever other rules would grant the request too.
//
// Without a token the refusal is a [*refusal.Error] of reason RateLimited that
// says when the next one comes, and nothing is taken. The zero Grant is refused
// with AccessDenied. Times of one process should come from one clock and carry
// its monotonic reading.
func (g Grant) Take(now time.Time) error {
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

// After is p with the buckets of an earlier policy, for every rule whose name,
// rate and burst have not changed, so that reading the same rules again gives
// nobody a full bucket. The two policies share those buckets; p and earlier do
// not change. Either may be nil.
func (p *Policy) After(earlier *Policy) *Policy {
	if p == nil || earlier == nil {
		return p
	}
	limiters := map[string]*limiter{}
	for _, r := range earlier.rules {
		if r.limiter != nil {
			limiters[r.name] = r.limiter
		}
	}
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
