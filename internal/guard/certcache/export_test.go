package certcache

import (
	"github.com/maypok86/otter/v2"

	"github.com/certgate/certgate/internal/core/gate"
)

// Limits for tests.
const (
	MaxSpellings = maxSpellings
	// MaxWeight and MinWeight are more and less than the weight of an entry in the tests.
	MaxWeight = 2 << 10
	MinWeight = 1 << 9
)

// NewLimited is New with a memory limit.
func NewLimited(inner gate.Identifier, maxBytes uint64) *Cache {
	return newCache(inner, maxBytes)
}

// evicted returns the cache after pending evictions.
func (c *Cache) evicted() *otter.Cache[digest, entry] {
	cache := c.cache.(*otter.Cache[digest, entry])
	cache.CleanUp()
	return cache
}

// Len returns the number of entries after pending evictions.
func (c *Cache) Len() int { return c.evicted().EstimatedSize() }

// Weight returns the sum of the entries' weights after pending evictions.
func (c *Cache) Weight() uint64 { return c.evicted().WeightedSize() }

// Spellings returns the number of certificates and of cached values.
func (c *Cache) Spellings() (certificates, values int) {
	c.evicted()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.spellings {
		values += n
	}
	return len(c.spellings), values
}
