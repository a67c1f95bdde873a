package throttle

import (
	"net/netip"
	"sync"
)

// maxSources is the number of sources that a [sources] map stores, about 4 MB.
const maxSources = 16384

// source identifies where requests come from: an address, or a verified client at an
// address.
type source struct {
	addr   netip.Addr
	client string // empty before a client was verified
	// observed separates failures of observed signatures from those of required ones.
	observed bool
}

// String returns the source for the log.
func (s source) String() string {
	if s.client == "" {
		return s.addr.String()
	}
	return s.client + " at " + s.addr.String()
}

// sourceAddr returns the address that counts as one source: an IPv4 address, or the /64
// network of an IPv6 address, within which a sender can change its address freely.
func sourceAddr(source netip.Addr) netip.Addr {
	source = source.Unmap()
	if !source.Is6() {
		return source
	}
	network, err := source.Prefix(64)
	if err != nil { // impossible: 64 is less than 128
		return netip.Addr{}
	}
	return network.Addr()
}

// sources maps the most recently used sources to values. It is not safe for concurrent use.
type sources[V any] struct {
	// A source that is looked up moves to recent. When recent holds half of maxSources,
	// it becomes older, and the previous older map is dropped.
	recent, older map[source]V
}

func newSources[V any]() sources[V] { return sources[V]{recent: map[source]V{}} }

// lookup returns the value of a source, and false if none is stored.
func (m *sources[V]) lookup(s source) (V, bool) {
	if v, ok := m.recent[s]; ok {
		return v, true
	}
	v, ok := m.older[s]
	if ok {
		m.store(s, v)
	}
	return v, ok
}

func (m *sources[V]) store(s source, v V) {
	if len(m.recent) >= maxSources/2 {
		m.recent, m.older = map[source]V{}, m.recent
	}
	m.recent[s] = v
}

func (m *sources[V]) len() int { return len(m.recent) + len(m.older) }

// knownSources are the sources whose credentials were accepted. Only valid credentials add
// a source, so a flood of invalid ones evicts none. It is safe for concurrent use.
type knownSources struct {
	mu      sync.Mutex
	sources sources[struct{}]
}

func newKnownSources() *knownSources { return &knownSources{sources: newSources[struct{}]()} }

func (k *knownSources) contains(s source) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.sources.lookup(s)
	return ok
}

func (k *knownSources) add(s source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.sources.lookup(s); !ok {
		k.sources.store(s, struct{}{})
	}
}
