package throttle

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources is how many sources are known at the same time, some 4 MB.
const maxSources = 16384

// budgets are the failures that each source has left. Only those that have
// failed are known, and of these the ones that were seen last: forgetting one
// gives it a whole budget again, which a second without failures gives it, too.
type budgets struct {
	perSecond int

	mu sync.Mutex
	// A source that is seen moves to recent. When that is half of what there may
	// be, it becomes older, and what was older is forgotten.
	recent, older map[source]*rate.Limiter
}

func newBudgets(perSecond int) *budgets {
	return &budgets{perSecond: perSecond, recent: map[source]*rate.Limiter{}}
}

// spent reports whether the source's next failure is one too many.
func (b *budgets) spent(s source) bool {
	if b.perSecond == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.known(s)
	return budget != nil && budget.TokensAt(time.Now()) < 1
}

// charge counts a failure and reports whether it was within the budget.
func (b *budgets) charge(s source) bool {
	if b.perSecond == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.known(s)
	if budget == nil {
		budget = rate.NewLimiter(rate.Limit(b.perSecond), b.perSecond)
		b.keep(s, budget)
	}
	return budget.Allow()
}

// known is the source's budget; nil when it has not failed.
func (b *budgets) known(s source) *rate.Limiter {
	if budget := b.recent[s]; budget != nil {
		return budget
	}
	budget := b.older[s]
	if budget != nil {
		b.keep(s, budget)
	}
	return budget
}

func (b *budgets) keep(s source, budget *rate.Limiter) {
	if len(b.recent) >= maxSources/2 {
		b.recent, b.older = map[source]*rate.Limiter{}, b.recent
	}
	b.recent[s] = budget
}

// source is who fails: whoever sends from an address, or beyond that a client that
// was verified there.
type source struct {
	addr   netip.Addr
	client string // empty: whoever
	// observed keeps what only is observed apart from what is refused.
	observed bool
}

// String is the source for the log.
func (s source) String() string {
	if s.client == "" {
		return s.addr.String()
	}
	return s.client + " at " + s.addr.String()
}

// fold is what counts as one source: an IPv4 address, or an IPv6 network of the
// size that one customer gets, in which changing the address costs nothing.
func fold(source netip.Addr) netip.Addr {
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
