package throttle

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// budgets holds a token bucket of failures for each source that has failed recently. An
// evicted source gets a full bucket again, as it does after one second without failures.
type budgets struct {
	perSecond int // 0 means no limit

	mu      sync.Mutex
	sources sources[*rate.Limiter]
}

func newBudgets(perSecond int) *budgets {
	return &budgets{perSecond: perSecond, sources: newSources[*rate.Limiter]()}
}

// state reports whether a source is stored because it has failed, and whether it has no
// failures left.
func (b *budgets) state(s source) (failed, spent bool) {
	if b.perSecond == 0 {
		return false, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget, failed := b.sources.lookup(s)
	return failed, failed && budget.TokensAt(time.Now()) < 1
}

// charge counts a failure and reports whether it was within the budget.
func (b *budgets) charge(s source) bool {
	if b.perSecond == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	budget, ok := b.sources.lookup(s)
	if !ok {
		budget = rate.NewLimiter(rate.Limit(b.perSecond), b.perSecond)
		b.sources.store(s, budget)
	}
	return budget.Allow()
}
