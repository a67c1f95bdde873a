package access

// Buckets returns the number of stored token buckets of the grant's rule.
func (g *Grant) Buckets() int {
	l := g.rule.limiter
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.full)
}
