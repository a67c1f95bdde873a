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

// Clients returns how many clients hold a place, and how many are stored.
func (p *Pool) Clients() (holding, stored int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.shares.held {
		if c.places != 0 {
			holding++
		}
	}
	return holding, len(p.shares.held)
}
