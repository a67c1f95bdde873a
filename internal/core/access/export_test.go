package access

// Buckets is how many clients have a token bucket with the grant's rule.
func (g Grant) Buckets() int {
	l := g.rule.limiter
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.full)
}
