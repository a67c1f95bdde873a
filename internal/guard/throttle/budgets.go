package throttle

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources is the number of sources that are stored at the same time, about 4 MB.
const maxSources = 16384

// budgets holds a token bucket of failures for each source that has failed recently. An
// evicted source gets a full bucket again, as it does after one second without failures.
type budgets struct {
	perSecond int

	mu sync.Mutex
	// A source that is looked up moves to recent. When recent holds half of maxSources,
	// it becomes older, and the previous older map is dropped.
	recent, older map[source]*rate.Limiter
}

func newBudgets(perSecond int) *budgets {
	return &budgets{perSecond: perSecond, recent: map[source]*rate.Limiter{}}
}

// isSpent reports whether the source has no failures left.
func (b *budgets) isSpent(s source) bool {
	if b.perSecond == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.lookup(s)
	return budget != nil && budget.TokensAt(time.Now()) < 1
}

// charge counts a failure and reports whether it was within the budget.
func (b *budgets) charge(s source) bool {
	if b.perSecond == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.lookup(s)
	if budget == nil {
		budget = rate.NewLimiter(rate.Limit(b.perSecond), b.perSecond)
		b.store(s, budget)
	}
	return budget.Allow()
}

// lookup returns the budget of a source, or nil if the source has not failed recently.
func (b *budgets) lookup(s source) *rate.Limiter {
	if budget := b.recent[s]; budget != nil {
		return budget
	}
	budget := b.older[s]
	if budget != nil {
		b.store(s, budget)
	}
	return budget
}

func (b *budgets) store(s source, budget *rate.Limiter) {
	if len(b.recent) >= maxSources/2 {
		b.recent, b.older = map[source]*rate.Limiter{}, b.recent
	}
	b.recent[s] = budget
}

// source identifies where failures come from: an address, or a verified client at an
// address.
type source struct {
	addr   netip.Addr
	client string // empty for failures before a client was verified
	// observed separates failures of observed signatures from those of required ones.
	observed bool
}

// String returns the source for the log.
func (s source) String() string {
	if s.client == "" {
		return s.addr.String()
	}
	return s.client + " at " + s.addr.String()
}

// sourceAddr returns the address that counts as one source: an IPv4 address, or the /64
// network of an IPv6 address, within which a sender can change its address freely.
func sourceAddr(source netip.Addr) netip.Addr {
	source = source.Unmap()
	if !source.Is6() {
		return source
	}
	network, err := source.Prefix(64)
	if err != nil { // impossible: 64 is less than 128
		return netip.Addr{}
	}
	return network.Addr()
}
