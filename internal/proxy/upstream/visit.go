package upstream

import (
	"net/url"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Visit is the place of one request among those in flight, and the address that it
// goes to. It is used by one goroutine. The zero value has neither; from [Pool.Begin]
// to [Visit.End] it has both.
type Visit struct {
	pool    *Pool
	client  string
	index   int
	tried   uint64 // a bit for each address
	epoch   int    // the address's, when it was chosen
	probe   bool   // it tries an address that is out
	settled bool   // the result is known
}

// Begin gives a request of the client a place and an address; v must be the zero
// value. The refusal is of reason overloaded: as many requests are in flight as may
// be, or as many of this client, or every address is out.
func (p *Pool) Begin(v *Visit, client string) *refusal.Error {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.asked(client, now)
	if refused := p.shares.refuse(client, p.inFlight.Load()); refused != nil {
		return refused
	}
	if !p.choose(v) {
		return overloaded("every address of the upstream is out")
	}
	p.inFlight.Add(1)
	p.shares.take(client)
	v.pool, v.client = p, client
	return nil
}

// choose takes the next address for v, false when there is none. The caller holds
// mu.
func (p *Pool) choose(v *Visit) bool {
	i, probe := p.search(v.tried)
	if i < 0 {
		return false
	}
	a := p.addresses[i]
	a.load++
	a.probing = a.probing || probe
	p.first = i + 1
	v.index, v.epoch, v.probe, v.settled = i, a.epoch, probe, false
	v.tried |= 1 << i
	return true
}

// Index is the place of the chosen address in [Options.Addresses].
func (v *Visit) Index() int { return v.index }

// URL is the chosen address. It must not be changed.
func (v *Visit) URL() *url.URL { return v.pool.addresses[v.index].url }

// Name is the [Name] of the chosen address, empty when there is none.
func (v *Visit) Name() string {
	if v.pool == nil {
		return ""
	}
	return v.pool.addresses[v.index].name
}

// Another moves the request to an address that it has not tried. It is for a
// request of which nothing was sent. False: there is none, and the visit stays
// where it is.
func (v *Visit) Another() bool {
	p := v.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *v
	if !p.choose(v) {
		return false
	}
	old.leave()
	return true
}

// Answered records that at least one byte came from the address, whatever it says:
// the address is alive.
func (v *Visit) Answered() {
	a := v.pool.addresses[v.index]
	if !v.probe && a.failures.Load() == 0 {
		v.settled = true
		return // as nearly always: nothing to learn
	}
	v.settle(func() bool {
		a.failures.Store(0)
		if !a.out {
			return false
		}
		v.pool.turn(a, false)
		return true
	}, nil)
}

// Failed records that the address gave no byte of an answer, and why: there was no
// connection, or it ended, or the timeout passed. When the client caused the failure
// or hung up, neither Failed nor [Visit.Answered] is called.
func (v *Visit) Failed(err error) {
	p, a := v.pool, v.pool.addresses[v.index]
	v.settle(func() bool {
		if a.out { // a probe: once more
			a.due, a.probing = p.now().Add(rest), false
			return false
		}
		if a.failures.Add(1) < failuresInRow {
			return false
		}
		p.turn(a, true)
		return true
	}, err)
}

// settle lets learn have its say, unless the address went out or came back since
// it was chosen. Learn reports whether that happens now.
func (v *Visit) settle(learn func() bool, err error) {
	p, a := v.pool, v.pool.addresses[v.index]
	v.settled = true
	p.mu.Lock()
	turned := v.epoch == a.epoch && learn()
	up := !a.out
	p.mu.Unlock()
	if turned {
		p.changed(Change{Name: a.name, Up: up, Err: err})
	}
}

// End gives the place back. Further calls do nothing.
func (v *Visit) End() {
	if v.pool == nil {
		return
	}
	p := v.pool
	p.mu.Lock()
	v.leave()
	p.inFlight.Add(-1)
	p.shares.give(v.client)
	p.mu.Unlock()
	v.pool = nil
}

// leave gives up the address. A probe without a result leaves the trial to the
// next request. The caller holds the pool's mu.
func (v *Visit) leave() {
	a := v.pool.addresses[v.index]
	a.load--
	if v.probe && !v.settled && v.epoch == a.epoch {
		a.probing = false
	}
}
