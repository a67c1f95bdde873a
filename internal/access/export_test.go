package access

// Buckets is how many clients have a token bucket with the grant's rule.
func (g Grant) Buckets() int {
	if g.limiter == nil {
		return 0
	}
	g.limiter.mu.Lock()
	defer g.limiter.mu.Unlock()
	return len(g.limiter.full)
}
