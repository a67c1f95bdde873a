package assertion

// LimitCache replaces the cache of s with a smaller one.
func LimitCache(s *Signer, maxBytes uint64) { s.cache = newCache(maxBytes) }

// CacheLen returns the number of cached assertions.
func CacheLen(s *Signer) int {
	s.cache.entries.CleanUp()
	return s.cache.entries.EstimatedSize()
}
