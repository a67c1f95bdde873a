package assertion

import "github.com/maypok86/otter/v2"

// LimitCache replaces the cache of s with a smaller one.
func LimitCache(s *Signer, maxBytes uint64) { s.cache = newCache(maxBytes) }

// CacheLen returns the number of cached assertions.
func CacheLen(s *Signer) int {
	entries := s.cache.entries.(*otter.Cache[cacheKey, entry])
	entries.CleanUp()
	return entries.EstimatedSize()
}
