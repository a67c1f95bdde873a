package upstream

// Loads returns the requests in flight to each address.
func (p *Pool) Loads() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var loads []int
	for _, a := range p.addresses {
		loads = append(loads, a.load)
	}
	return loads
}

// Clients returns how many clients hold a place.
func (p *Pool) Clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.shares.held)
}
