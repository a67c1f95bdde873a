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

// prove calls Prove with a check that succeeds or fails.
func prove(g *Guard, addr netip.Addr, client string, right bool) (c outcome) {
	return proveBy(g, addr, client, func() error {
		if right {
			return nil
		}
		return refusal.New(refusal.ProofInvalid, "bad")
	})
}

func proveBy(g *Guard, addr netip.Addr, client string, check func() error) (c outcome) {
	begin := time.Now()
	err := g.Prove(addr, client, check)
	c.delay = time.Since(begin)
	if d := refusal.Of(err); d != nil {
		c.reason, c.retryAfter = d.Reason, d.RetryAfter
	}
	return c
}

var (
	badProof     = outcome{reason: refusal.ProofInvalid}
	delayedProof = outcome{reason: refusal.ProofInvalid, delay: 100 * time.Millisecond}
)

// spendProofs uses up the budget of 20 failures of a client at an address.
func spendProofs(t *testing.T, g *Guard, addr netip.Addr, client string) {
	t.Helper()
	for range 20 {
		check(t, "within the budget", prove(g, addr, client, false), badProof)
	}
}

// TestProve checks that only clients over their budget are delayed.
func TestProve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		spendProofs(t, g, mallory, "mail")
		check(t, "one more", prove(g, mallory, "mail", false), delayedProof)
		check(t, "a good one", prove(g, mallory, "mail", true), good)
		check(t, "another client from there", prove(g, mallory, "social", false), badProof)
		check(t, "the client from elsewhere", prove(g, alice, "mail", false), badProof)
		spendProofs(t, g, address(t, "2001:db8::1"), "mail")
		check(t, "another address of one network", prove(g, address(t, "2001:db8::2"), "mail", false), delayedProof)
		if n := g.Delayed(); n != 2 {
			t.Errorf("%d delayed, want 2", n)
		}
		time.Sleep(time.Second)
		spendProofs(t, g, mallory, "mail")
		checkEmpty(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}

// TestProveApartFromIdentify checks that failed certificates and failed signatures have
// separate budgets. Behind an untrusted load balancer all clients have one address, and a flood
// of bad certificates must not delay signed requests, or the reverse.
func TestProveApartFromIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Wrap(&fakeIdentifier{})
		spendBudget(t, id, mallory)
		check(t, "a proof that fails", prove(g, mallory, "mail", false), badProof)

		spendProofs(t, g, alice, "mail")
		check(t, "a certificate that fails", identify(id, alice, "bad"), bad)
	})
}

// TestProveAtOnce checks that signed requests of a known client do not queue.
func TestProveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, _ := queued(t)
		g.Accept(carol, "mail")
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
		<-inner.gate
		synctest.Wait()
		checkEmpty(t, g, 1)
	})
}

// TestProveBehindRegular checks that known sources over their budget queue after all other sources.
func TestProveBehindRegular(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		g.Accept(carol, "mail")
		spendProofs(t, g, carol, "mail")
		checked := false
		go proveBy(g, carol, "mail", func() error {
			checked = true
			return nil
		})
		synctest.Wait()
		go identify(id, bob, "regular")
		synctest.Wait()
		<-inner.gate
		synctest.Wait()
		if checked {
			t.Error("want the regular source first")
		}
		<-inner.gate
		synctest.Wait()
		if !checked {
			t.Error("want a turn for the source over its budget")
		}
		time.Sleep(time.Second)
		checkEmpty(t, g, 1)
	})
}

// TestProveWithoutPlace checks that nothing is verified if all slots for delayed refusals are taken.
func TestProveWithoutPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.queue = newVerifyQueue(2 * maxDelayed)
		spendProofs(t, g, mallory, "mail")
		var flood sync.WaitGroup
		for range maxDelayed {
			flood.Go(func() { check(t, "delayed", rounded(prove(g, mallory, "mail", false)), delayedProof) })
		}
		synctest.Wait()
		check(t, "one more", proveBy(g, mallory, "mail", func() error {
			t.Error("want no check, found one")
			return nil
		}), rateLimited)
		check(t, "another client", prove(g, mallory, "social", true), good)
		flood.Wait()
		checkEmpty(t, g, 2*maxDelayed)
	})
}

// TestProveReturnsTheError checks that the error of check is returned, and that a panic releases the queue.
func TestProveReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.queue = newVerifyQueue(1)
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
		checkEmpty(t, g, 1)
	})
}

// TestObserve checks that observed requests never wait, and that only invalid signatures
// use up their own budget, after which no signature is verified.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		calls := 0
		observe := func(client string, with error) (c outcome) {
			begin := time.Now()
			err := g.Observe(mallory, client, func() error { calls++; return with })
			c.delay = time.Since(begin)
			if d := refusal.Of(err); d != nil {
				c.reason, c.retryAfter = d.Reason, d.RetryAfter
			}
			return c
		}
		missing := refusal.New(refusal.ProofMissing, "none")
		wrong := refusal.New(refusal.ProofInvalid, "wrong")
		for range 100 {
			check(t, "not signed", observe("mail", missing), outcome{reason: refusal.ProofMissing})
		}
		for range 20 {
			check(t, "within the budget", observe("mail", wrong), badProof)
		}
		calls = 0
		for range 100 {
			check(t, "beyond it", observe("mail", wrong), outcome{reason: refusal.RateLimited, retryAfter: time.Second})
		}
		if calls != 0 {
			t.Errorf("want no further verification, found %d", calls)
		}
		check(t, "another client", observe("social", nil), good)
		check(t, "the client where proof is required", prove(g, mallory, "mail", false), badProof)
		time.Sleep(time.Second)
		check(t, "a second later", observe("mail", nil), good)
		if n := g.Delayed(); n != 0 {
			t.Errorf("%d delayed, want none", n)
		}
	})
}

// TestProveOff checks that a rate of 0 delays no request.
func TestProveOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		for range 100 {
			check(t, "failure", prove(g, mallory, "mail", false), badProof)
		}
	})
}

// BenchmarkProve measures the overhead of a guard per signed request.
func BenchmarkProve(b *testing.B) {
	g := New(Options{FailuresPerSecond: 20})
	right := func() error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = g.Prove(mallory, "mail", right)
		g.Accept(mallory, "mail")
	}
}

// TestRefuse checks that refusals of a denied client over its budget are delayed, and
// refusals of other clients are not.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		refuse := func(addr netip.Addr, client string) (c outcome) {
			begin := time.Now()
			err := g.Refuse(addr, client, refusal.New(refusal.AccessDenied, "denied"))
			return outcome{reason: refusal.Of(err).Reason, delay: time.Since(begin)}
		}
		for range 20 {
			check(t, "within the budget", refuse(mallory, "mail"), outcome{reason: refusal.AccessDenied})
		}
		check(t, "one more", refuse(mallory, "mail"), outcome{reason: refusal.AccessDenied, delay: 100 * time.Millisecond})
		check(t, "another client from there", refuse(mallory, "social"), outcome{reason: refusal.AccessDenied})
		check(t, "the client from elsewhere", refuse(alice, "mail"), outcome{reason: refusal.AccessDenied})
		check(t, "a certificate from there", identify(g.Wrap(&fakeIdentifier{}), mallory, "good"), good)
		checkEmpty(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}
