// Package upstream chooses the address of the service for each request.
//
// A [Pool] gives each request the address with the fewest requests in flight,
// and takes an address that gives no answers out of the choice until it gives
// one again. It bounds the requests in flight over all addresses, and those of
// one client while other clients send requests; there is no queue. It sends
// nothing except health checks, where they are configured.
package upstream

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// MaxAddresses is how many addresses a [Pool] may have.
const MaxAddresses = 64

const (
	// failuresInRow without an answer put an address out. One could be the
	// fault of a request that the service dies of.
	failuresInRow = 5
	// rest is how long an address stays out before one request tries it again.
	rest = time.Second
	// retryAfter is the Retry-After of every refusal here.
	retryAfter = time.Second
)

// Options are what a [Pool] is made of. All fields are required, except Check
// and Changed.
type Options struct {
	// Addresses are 1 to [MaxAddresses] URLs of a scheme and a host; no two
	// have the same [Name].
	Addresses []*url.URL
	// MaxInFlight bounds the requests in flight, at least 1.
	MaxInFlight int
	// Check, when its path is given, is what [Pool.Watch] asks each address.
	Check Check
	Now   func() time.Time
	// Changed is told when an address goes out or comes back. It is called by
	// several goroutines and must not wait.
	Changed func(Change)
}

// Change is an address that went out or came back.
type Change struct {
	Name string
	Up   bool
	Err  error // why it is out; nil when up
}

// Pool is the addresses of one service. It is safe for concurrent use.
type Pool struct {
	check   Check
	now     func() time.Time
	changed func(Change)

	inFlight atomic.Int64 // written under mu
	out      atomic.Int64 // addresses that are out; written under mu

	mu        sync.Mutex
	addresses []*address
	shares    shares
	first     int // where the search for the least loaded begins: ties take turns
}

// address is one of the pool. All but url and name is guarded by the pool's mu.
type address struct {
	url  *url.URL
	name string

	load     int // requests in flight
	failures atomic.Int64
	// epoch counts the times that the address went out or came back. What began
	// in another epoch says nothing about this one.
	epoch   int
	out     bool
	due     time.Time // when a request may try an address that is out
	probing bool      // one does
	unwell  int       // health checks in a row that failed
}

// New makes a pool; every address is taken for good until it fails.
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

// Name is the host:port of an address, with the scheme's port where the URL has
// none.
func Name(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	default:
		return net.JoinHostPort(u.Hostname(), "80")
	}
}

// Len is how many addresses there are.
func (p *Pool) Len() int { return len(p.addresses) }

// URL is address i, 0 to Len-1, as it was given. It must not be changed.
func (p *Pool) URL(i int) *url.URL { return p.addresses[i].url }

// Name is the [Name] of address i, 0 to Len-1.
func (p *Pool) Name(i int) string { return p.addresses[i].name }

// Up reports whether address i, 0 to Len-1, is in the choice.
func (p *Pool) Up(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.addresses[i].out
}

// Overloaded returns why a request of the client would be refused now, nil when it
// would not. Call it before there is work to do for the request; only [Pool.Begin]
// gives it a place.
func (p *Pool) Overloaded(client string) *refusal.Error {
	// Below its half a client is not refused, and no client has more places than
	// all have together. half is never written to.
	if p.inFlight.Load() < p.shares.half && p.out.Load() < int64(len(p.addresses)) {
		return nil
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.asked(client, now)
	if refused := p.shares.refuse(client, p.inFlight.Load()); refused != nil {
		return refused
	}
	if i, _ := p.search(0); i < 0 {
		return overloaded("every address of the upstream is out")
	}
	return nil
}

// search finds the address for a request that has tried some already, -1 when
// there is none. An address that is out and has rested comes first, because only a
// request shows that it is back; probe says that it is one. The caller holds mu.
func (p *Pool) search(tried uint64) (best int, probe bool) {
	best = -1
	for k := range p.addresses {
		i := (p.first + k) % len(p.addresses)
		a := p.addresses[i]
		switch {
		case tried&(1<<i) != 0:
		case a.out:
			if p.rested(a) {
				return i, true
			}
		case best < 0 || a.load < p.addresses[best].load:
			best = i
		}
	}
	return best, false
}

// rested reports whether a request may try an address that is out. Where there
// are health checks, it is they who try.
func (p *Pool) rested(a *address) bool {
	return p.check.Path == "" && !a.probing && !p.now().Before(a.due)
}

// turn takes an address out or brings it back. The caller holds mu.
func (p *Pool) turn(a *address, out bool) {
	a.out, a.due, a.probing = out, p.now().Add(rest), false
	a.epoch++
	a.failures.Store(0)
	if out {
		p.out.Add(1)
	} else {
		p.out.Add(-1)
	}
}
