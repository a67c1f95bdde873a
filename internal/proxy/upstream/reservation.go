package upstream

import (
	"net/url"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Reservation is the place of one request among the requests in flight, and the address
// that it is sent to. It is used by one goroutine. The zero value has neither; it has both
// from [Pool.Reserve] to [Reservation.Release].
type Reservation struct {
	pool     *Pool
	share    *share // of the client
	index    int
	tried    uint64 // one bit for each address
	epoch    int    // of the address, when it was chosen
	probe    bool   // the request tries an address that is out
	recorded bool   // the result is known
}

// Reserve reserves a place and an address for a request of the client at the time now, of the
// clock in [Options]. v must be the zero value. The refusal has the reason Overloaded: all
// places are taken, the client holds its share, or every address is out.
func (p *Pool) Reserve(v *Reservation, client string, now time.Time) *refusal.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.noteRequest(client, now)
	if refused := p.shares.refuse(client, p.inFlight.Load()); refused != nil {
		return refused
	}
	if !p.choose(v) {
		return overloaded("every address of the upstream is out")
	}
	p.inFlight.Add(1)
	v.pool, v.share = p, p.shares.take(client)
	return nil
}

// choose assigns the next address to v. It reports false when no address is left. The caller
// holds mu.
func (p *Pool) choose(v *Reservation) bool {
	i, probe := p.search(v.tried)
	if i < 0 {
		return false
	}
	a := p.addresses[i]
	a.load++
	a.probing = a.probing || probe
	p.first = i + 1
	v.index, v.epoch, v.probe, v.recorded = i, a.epoch, probe, false
	v.tried |= 1 << i
	return true
}

// Index returns the index of the chosen address in [Options.Addresses].
func (v *Reservation) Index() int { return v.index }

// URL returns the chosen address. The caller must not change it.
func (v *Reservation) URL() *url.URL { return v.pool.addresses[v.index].url }

// Name returns the [Name] of the chosen address, or "" before an address is chosen.
func (v *Reservation) Name() string {
	if v.pool == nil {
		return ""
	}
	return v.pool.addresses[v.index].name
}

// Retry moves the request to an address that it has not tried. It is for a request that was
// not sent. It reports false, and changes nothing, when there is no such address.
func (v *Reservation) Retry() bool {
	p := v.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *v
	if !p.choose(v) {
		return false
	}
	old.releaseAddress()
	return true
}

// Succeeded records that the address sent at least one byte of a response, whatever it
// contains: the address is alive.
func (v *Reservation) Succeeded() {
	a := v.pool.addresses[v.index]
	if !v.probe && a.failures.Load() == 0 {
		v.recorded = true
		return // the usual case needs no lock
	}
	v.record(func() bool {
		a.failures.Store(0)
		if !a.out {
			return false
		}
		v.pool.setOut(a, false)
		return true
	}, nil)
}

// Failed records why the address sent no byte of a response: there was no connection, the
// connection ended, or the timeout passed. It is not called when the client caused the
// failure or closed its connection; neither is [Reservation.Succeeded].
func (v *Reservation) Failed(err error) {
	p, a := v.pool, v.pool.addresses[v.index]
	v.record(func() bool {
		if a.out { // a probe failed
			a.retryAt, a.probing = p.now().Add(retryInterval), false
			return false
		}
		if a.failures.Add(1) < failuresInRow {
			return false
		}
		p.setOut(a, true)
		return true
	}, err)
}

// record calls update with the pool's mu locked, unless the address went out or came back
// after it was chosen. update reports whether the address goes out or comes back now.
func (v *Reservation) record(update func() bool, err error) {
	p, a := v.pool, v.pool.addresses[v.index]
	v.recorded = true
	p.mu.Lock()
	changed := v.epoch == a.epoch && update()
	up := !a.out
	p.mu.Unlock()
	if changed {
		p.changed(Change{Name: a.name, Up: up, Err: err})
	}
}

// Release returns the place and the address to the pool. Further calls do nothing.
func (v *Reservation) Release() {
	if v.pool == nil {
		return
	}
	p := v.pool
	p.mu.Lock()
	v.releaseAddress()
	p.inFlight.Add(-1)
	p.shares.give(v.share)
	p.mu.Unlock()
	v.pool = nil
}

// releaseAddress returns the address to the pool. After a probe without a result, the next
// request may probe the address. The caller holds the pool's mu.
func (v *Reservation) releaseAddress() {
	a := v.pool.addresses[v.index]
	a.load--
	if v.probe && !v.recorded && v.epoch == a.epoch {
		a.probing = false
	}
}
