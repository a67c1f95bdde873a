package usage

import (
	"cmp"
	"slices"
)

// candidate is a client that can be dropped, unless it was seen since.
type candidate struct {
	client string
	seen   int64
}

// candidatesPerScan is the part of the clients, as a divisor, that one scan selects.
const candidatesPerScan = 4

// makeRoom drops the client that was not seen for the longest time, if the inventory is
// full. It requires the lock admission.
//
// A scan of all clients selects the oldest quarter, so that dropping one takes a constant
// time on average. A candidate that has not been seen since the scan is still the oldest,
// because the times of the others only grow.
func (s *Store) makeRoom() {
	for s.count >= s.capacity {
		if len(s.oldest) == 0 {
			s.oldest = s.scan()
		}
		next := s.oldest[0]
		s.oldest = s.oldest[1:]
		if s.drop(next) {
			s.count--
			s.forgotten.Add(1)
		}
	}
}

// drop removes a client that was not seen since the scan, and reports whether it did.
func (s *Store) drop(c candidate) bool {
	sh := s.shard(c.client)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found := sh.clients[c.client]
	if found == nil || found.seen.ms.Load() != c.seen {
		return false
	}
	delete(sh.clients, c.client)
	return true
}

// scan returns the clients that were not seen for the longest time, the oldest first.
func (s *Store) scan() []candidate {
	all := make([]candidate, 0, s.count)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for name, c := range sh.clients {
			all = append(all, candidate{name, c.seen.ms.Load()})
		}
		sh.mu.RUnlock()
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.seen, b.seen) })
	return slices.Clone(all[:max(1, len(all)/candidatesPerScan)])
}
