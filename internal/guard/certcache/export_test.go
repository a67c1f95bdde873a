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
func (i *Cache) Len() int {
	i.cache.CleanUp()
	return i.cache.EstimatedSize()
}

// Spellings returns the number of certificates and of cached values.
func (i *Cache) Spellings() (certificates, values int) {
	i.cache.CleanUp()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.spellings {
		values += n
	}
	return len(i.spellings), values
}
