// Package upstream chooses the upstream address of each request.
//
// A [Pool] gives each request the address with the fewest requests in flight. It stops
// using an address that sends no responses, until the address responds again. It bounds the
// requests in flight over all addresses, and those of one client while other clients send
// requests. There is no queue. The package sends nothing except health checks, which are
// optional.
package upstream

import (
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// MaxAddresses is the maximum number of addresses of a [Pool].
const MaxAddresses = 64

const (
	// failuresInRow is the number of consecutive requests without a response that take an
	// address out. A single failure may be caused by a request that crashes the upstream.
	failuresInRow = 5
	// retryInterval is how long an address stays out before one request tries it again.
	retryInterval = time.Second
	// retryAfter is the Retry-After of every refusal of this package.
	retryAfter = time.Second
)

// Options configure a [Pool]. All fields are required, except Check and Changed.
type Options struct {
	// Addresses are 1 to [MaxAddresses] URLs with a scheme and a host, or those of [UnixURL].
	// No two of them have the same [Name].
	Addresses []*url.URL
	// MaxInFlight bounds the requests in flight. It is at least 1.
	MaxInFlight int
	// Check is the health check of [Pool.RunHealthChecks], if its path is set.
	Check HealthCheck
	Now   func() time.Time
	// Changed is called when an address goes out or comes back. It is called by several
	// goroutines and must not block.
	Changed func(Change)
}

// Change reports that an address went out or came back.
type Change struct {
	Name string
	Up   bool
	Err  error // why the address is out; nil when Up
}

// Pool contains the addresses of one upstream. It is safe for concurrent use.
type Pool struct {
	check   HealthCheck
	now     func() time.Time
	changed func(Change)

	inFlight atomic.Int64 // written with mu locked
	out      atomic.Int64 // addresses that are out; written with mu locked

	mu        sync.Mutex
	addresses []*address
	shares    shares
	first     int // where the search for the least loaded address begins, so that ties rotate
}

// address is one address of the pool. The pool's mu guards all fields except url and name.
type address struct {
	url  *url.URL
	name string

	load     int // requests in flight
	failures atomic.Int64
	// epoch counts how often the address went out or came back. The result of a request
	// that began in another epoch is ignored.
	epoch        int
	out          bool
	retryAt      time.Time // when a request may try an address that is out
	probing      bool      // a request is trying it
	failedChecks int       // consecutive health checks
}

// New returns a pool. Every address is up until it fails.
func New(o Options) *Pool {
	p := &Pool{shares: newShares(int64(o.MaxInFlight)), check: o.Check, now: o.Now, changed: o.Changed}
	if p.changed == nil {
		p.changed = func(Change) {}
	}
	for _, u := range o.Addresses {
		p.addresses = append(p.addresses, &address{url: u, name: Name(u)})
	}
	return p
}

// Len returns the number of addresses.
func (p *Pool) Len() int { return len(p.addresses) }

// URL returns address i, from 0 to Len-1, as it was configured. The caller must not change
// it.
func (p *Pool) URL(i int) *url.URL { return p.addresses[i].url }

// Name returns the [Name] of address i, from 0 to Len-1.
func (p *Pool) Name(i int) string { return p.addresses[i].name }

// Up reports whether address i, from 0 to Len-1, is in use.
func (p *Pool) Up(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.addresses[i].out
}

// State is the state of one address.
type State struct {
	Up       bool
	InFlight int   // requests
	Failures int64 // consecutive requests without a response
}

// State returns the state of address i, from 0 to Len-1.
func (p *Pool) State(i int) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.addresses[i]
	return State{Up: !a.out, InFlight: a.load, Failures: a.failures.Load()}
}

// InFlight returns the number of requests in flight, and the maximum.
func (p *Pool) InFlight() (requests, capacity int64) { return p.inFlight.Load(), p.shares.max }

// CheckCapacity returns why a request of the client would be refused now, or nil. It is
// called before work is done for the request. It reserves nothing: see [Pool.Reserve].
func (p *Pool) CheckCapacity(client string) *refusal.Error {
	// A client that holds less than half of the places is not refused, and no client holds
	// more places than all clients together. half is never written after New.
	if p.inFlight.Load() < p.shares.half && p.out.Load() < int64(len(p.addresses)) {
		return nil
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.noteRequest(client, now)
	if refused := p.shares.refuse(client, p.inFlight.Load()); refused != nil {
		return refused
	}
	if i, _ := p.search(0); i < 0 {
		return overloaded("every address of the upstream is out")
	}
	return nil
}

// search returns the index of the best address that is not in tried, or -1. An address that
// is out and may be tried again comes first, because only a request shows whether it is
// back; probe is true then. The caller holds mu.
func (p *Pool) search(tried uint64) (best int, probe bool) {
	best = -1
	for k := range p.addresses {
		i := (p.first + k) % len(p.addresses)
		a := p.addresses[i]
		switch {
		case tried&(1<<i) != 0:
		case a.out:
			if p.mayProbe(a) {
				return i, true
			}
		case best < 0 || a.load < p.addresses[best].load:
			best = i
		}
	}
	return best, false
}

// mayProbe reports whether a request may try an address that is out. With health checks,
// only they try it.
func (p *Pool) mayProbe(a *address) bool {
	return p.check.Path == "" && !a.probing && !p.now().Before(a.retryAt)
}

// setOut takes an address out or brings it back. The caller holds mu.
func (p *Pool) setOut(a *address, out bool) {
	a.out, a.retryAt, a.probing = out, p.now().Add(retryInterval), false
	a.epoch++
	a.failures.Store(0)
	if out {
		p.out.Add(1)
	} else {
		p.out.Add(-1)
	}
}
