package body

import (
	"math"
	"runtime/debug"
	"sync"
)

// MaxHeldBytes is the length of the longest body that is held, in bytes.
const MaxHeldBytes = 64 << 20

// maxBudget is the default budget of a process without a memory limit, in bytes.
const maxBudget = 256 << 20

// DefaultBudget returns how many bytes all held bodies may take together: 256 MiB, or a
// quarter of the process's memory limit where GOMEMLIMIT sets a smaller one.
func DefaultBudget() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return min(maxBudget, limit/4)
	}
	return maxBudget
}

// Budget bounds the memory of all held bodies together. A client may hold as many bytes as
// are free: a single client gets half of the budget, n clients together get n/(n+1) of it,
// and some memory always remains for another client. It is safe for concurrent use;
// [NewBudget] makes one.
type Budget struct {
	mu       sync.Mutex
	limit    int64
	used     int64
	byClient map[string]int64 // clients that hold bytes; no entry is 0
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, byClient: map[string]int64{}} }

// Used returns how many bytes are held.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Limit returns how many bytes may be held.
func (b *Budget) Limit() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit
}

// SetLimit changes the limit. Bodies that are held already stay.
func (b *Budget) SetLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// reserve takes n bytes for the client. It reports false, and takes nothing, when the
// client would hold more than the bytes that are free.
func (b *Budget) reserve(client string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byClient[client]+n > b.limit-b.used {
		return false
	}
	b.byClient[client] += n
	b.used += n
	return true
}

// release returns n bytes of the client.
func (b *Budget) release(client string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.byClient[client] -= n; b.byClient[client] == 0 {
		delete(b.byClient, client)
	}
}
