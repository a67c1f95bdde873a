package throttle

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// prove has a proof checked that is right or not.
func prove(g *Guard, addr netip.Addr, client string, right bool) (c came) {
	return proveBy(g, addr, client, func() error {
		if right {
			return nil
		}
		return refusal.New(refusal.ProofInvalid, "bad")
	})
}

func proveBy(g *Guard, addr netip.Addr, client string, check func() error) (c came) {
	begin := time.Now()
	err := g.Prove(addr, client, check)
	c.after = time.Since(begin)
	if d := refusal.Of(err); d != nil {
		c.reason, c.again = d.Reason, d.RetryAfter
	}
	return c
}

var (
	unproven     = came{reason: refusal.ProofInvalid}
	unprovenHeld = came{reason: refusal.ProofInvalid, after: 100 * time.Millisecond}
)

// spendProofs uses up the budget of 20 that a client has at an address.
func spendProofs(t *testing.T, g *Guard, addr netip.Addr, client string) {
	t.Helper()
	for range 20 {
		check(t, "within the budget", prove(g, addr, client, false), unproven)
	}
}

// TestProve: whose proofs fail is held back, and nobody else.
func TestProve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		spendProofs(t, g, mallory, "mail")
		check(t, "one more", prove(g, mallory, "mail", false), unprovenHeld)
		check(t, "a good one", prove(g, mallory, "mail", true), good)
		check(t, "another client from there", prove(g, mallory, "social", false), unproven)
		check(t, "the client from elsewhere", prove(g, alice, "mail", false), unproven)
		check(t, "nobody's", prove(g, mallory, "", false), unproven)
		spendProofs(t, g, address(t, "2001:db8::1"), "mail")
		check(t, "another address of one network", prove(g, address(t, "2001:db8::2"), "mail", false), unprovenHeld)
		if n := g.Held(); n != 2 {
			t.Errorf("%d held back, want 2", n)
		}
		time.Sleep(time.Second)
		spendProofs(t, g, mallory, "mail")
		checkIdle(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}

// TestProveApartFromIdentify: behind a load balancer that nobody trusts all have one
// address. A flood of bad certificates there must not reach who signs, nor the other
// way round; what fails before anybody is verified belongs to the first.
func TestProveApartFromIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Before(&office{})
		spend(t, id, mallory)
		check(t, "a proof that fails", prove(g, mallory, "mail", false), unproven)
		check(t, "nobody's proof that fails", prove(g, mallory, "", false), unprovenHeld)

		spendProofs(t, g, alice, "mail")
		check(t, "a certificate that fails", ask(id, alice, "bad"), bad)
		spendProofs(t, g, bob, "")
		check(t, "a certificate behind nobody's proofs", ask(id, bob, "bad"), held)
	})
}

// TestProveAtOnce: signed requests do not wait for those who are being verified, nor
// for each other.
func TestProveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, _ := queued(t)
		var inside sync.WaitGroup
		together := make(chan struct{})
		for range 100 {
			inside.Go(func() {
				check(t, "a good one", proveBy(g, carol, "mail", func() error {
					<-together
					return nil
				}), good)
			})
		}
		synctest.Wait()
		close(together)
		inside.Wait()
		<-inner.desk
		synctest.Wait()
		checkIdle(t, g, 1)
	})
}

// TestProveBehindInnocents: who has failed too often waits for the turnstile, behind
// those who have not.
func TestProveBehindInnocents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		spendProofs(t, g, carol, "mail")
		checked := false
		go proveBy(g, carol, "mail", func() error {
			checked = true
			return nil
		})
		synctest.Wait()
		go ask(id, bob, "innocent")
		synctest.Wait()
		<-inner.desk
		synctest.Wait()
		if checked {
			t.Error("want the innocent first")
		}
		<-inner.desk
		synctest.Wait()
		if !checked {
			t.Error("want a turn for the suspect")
		}
		time.Sleep(time.Second)
		checkIdle(t, g, 1)
	})
}

// TestProveWithoutPlace: nothing is checked for who could not be held back.
func TestProveWithoutPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.turnstile = newTurnstile(2 * maxHeld)
		spendProofs(t, g, mallory, "mail")
		var flood sync.WaitGroup
		for range maxHeld {
			flood.Go(func() { check(t, "held back", rounded(prove(g, mallory, "mail", false)), unprovenHeld) })
		}
		synctest.Wait()
		check(t, "one more", proveBy(g, mallory, "mail", func() error {
			t.Error("want no check, found one")
			return nil
		}), rateLimited)
		check(t, "another client", prove(g, mallory, "social", true), good)
		flood.Wait()
		checkIdle(t, g, 2*maxHeld)
	})
}

// TestProveReturnsTheError, and lets the next one in whatever happens.
func TestProveReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.turnstile = newTurnstile(1)
		broken := errors.New("broken")
		fails := func() error { return broken }
		for range 21 { // within the budget, and beyond
			if err := g.Prove(mallory, "mail", fails); !errors.Is(err, broken) {
				t.Fatalf("found %v, want %v", err, broken)
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("want the panic, found none")
				}
			}()
			_ = g.Prove(mallory, "mail", func() error { panic("broken") })
		}()
		checkIdle(t, g, 1)
	})
}

// TestObserve: of whoever is only observed nobody waits, and wrong signatures, and
// these alone, use up a budget of its own, behind which none is verified.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		asked := 0
		observe := func(client string, with error) (c came) {
			begin := time.Now()
			err := g.Observe(mallory, client, func() error { asked++; return with })
			c.after = time.Since(begin)
			if d := refusal.Of(err); d != nil {
				c.reason, c.again = d.Reason, d.RetryAfter
			}
			return c
		}
		missing := refusal.New(refusal.ProofMissing, "none")
		wrong := refusal.New(refusal.ProofInvalid, "wrong")
		for range 100 {
			check(t, "not signed", observe("mail", missing), came{reason: refusal.ProofMissing})
		}
		for range 20 {
			check(t, "within the budget", observe("mail", wrong), unproven)
		}
		asked = 0
		for range 100 {
			check(t, "beyond it", observe("mail", wrong), came{reason: refusal.RateLimited, again: time.Second})
		}
		if asked != 0 {
			t.Errorf("want nothing verified any more, found %d", asked)
		}
		check(t, "another client", observe("social", nil), good)
		check(t, "the client where proof is required", prove(g, mallory, "mail", false), unproven)
		time.Sleep(time.Second)
		check(t, "a second later", observe("mail", nil), good)
		if n := g.Held(); n != 0 {
			t.Errorf("%d held back, want none", n)
		}
	})
}

// TestProveOff: with a rate of 0 nobody is held back.
func TestProveOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		for range 100 {
			check(t, "failure", prove(g, mallory, "mail", false), unproven)
		}
	})
}

// BenchmarkProve is what a guard adds to each signed request.
func BenchmarkProve(b *testing.B) {
	g := New(Options{FailuresPerSecond: 20})
	right := func() error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = g.Prove(mallory, "mail", right)
	}
}

// TestRefuse: a denied client's refusals are held back when there are too many, and
// those of no other client.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		refuse := func(addr netip.Addr, client string) (c came) {
			begin := time.Now()
			err := g.Refuse(addr, client, refusal.New(refusal.AccessDenied, "denied"))
			return came{reason: refusal.Of(err).Reason, after: time.Since(begin)}
		}
		for range 20 {
			check(t, "within the budget", refuse(mallory, "mail"), came{reason: refusal.AccessDenied})
		}
		check(t, "one more", refuse(mallory, "mail"), came{reason: refusal.AccessDenied, after: 100 * time.Millisecond})
		check(t, "another client from there", refuse(mallory, "social"), came{reason: refusal.AccessDenied})
		check(t, "the client from elsewhere", refuse(alice, "mail"), came{reason: refusal.AccessDenied})
		check(t, "a certificate from there", ask(g.Before(&office{}), mallory, "good"), good)
		checkIdle(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}
