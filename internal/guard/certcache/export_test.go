package certcache

import "github.com/certgate/certgate/internal/core/gate"

// Limits for tests.
const (
	MaxSpellings = maxSpellings
	PerEntry     = perEntry
)

// NewLimited is New with a memory limit.
func NewLimited(inner gate.Identifier, maxBytes uint64) *Cache {
	return newCache(inner, maxBytes)
}

// Len returns the number of entries after pending evictions.
func (c *Cache) Len() int {
	c.cache.CleanUp()
	return c.cache.EstimatedSize()
}

// Spellings returns the number of certificates and of cached values.
func (c *Cache) Spellings() (certificates, values int) {
	c.cache.CleanUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.spellings {
		values += n
	}
	return len(c.spellings), values
}
