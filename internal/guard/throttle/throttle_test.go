package throttle

import (
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := New(Options{FailuresPerSecond: 20}), &fakeIdentifier{}
		id := g.Wrap(inner)
		check(t, "good", identify(id, mallory, "good"), good)
		spendBudget(t, id, mallory)
		check(t, "one more", identify(id, mallory, "bad"), delayed)
		check(t, "good, from a source that fails", identify(id, mallory, "good"), good)
		check(t, "another source", identify(id, alice, "bad"), bad)
		// During the delay two more failures became available.
		check(t, "first of two", identify(id, mallory, "bad"), bad)
		check(t, "second of two", identify(id, mallory, "bad"), bad)
		check(t, "third of two", identify(id, mallory, "bad"), delayed)
		if n := g.Delayed(); n != 2 {
			t.Errorf("%d delayed, want 2", n)
		}
		time.Sleep(time.Second)
		spendBudget(t, id, mallory)
		check(t, "one more a second later", identify(id, mallory, "bad"), delayed)
		if n := inner.calls.Load(); n != 48 {
			t.Errorf("%d verifications, want one for each request", n)
		}
		checkEmpty(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}

// TestFloodIsSlow checks that a flood gets 500 refusals per second plus its budget, regardless
// of the number of its connections.
func TestFloodIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &fakeIdentifier{}
		id := New(Options{FailuresPerSecond: 20}).Wrap(inner)
		var flood sync.WaitGroup
		end := time.Now().Add(10 * time.Second)
		for range 500 {
			flood.Go(func() {
				for time.Now().Before(end) {
					identify(id, mallory, "bad")
				}
			})
		}
		flood.Wait()
		if n := inner.calls.Load(); n > 20+10*(500+20)+500 {
			t.Errorf("%d verifications in 10 s, want about 520 a second", n)
		}
	})
}

// TestReleaseInterval checks that delayed refusals are released one at a time.
func TestReleaseInterval(t *testing.T) {
	h := newDelayer()
	now := time.Now()
	for n := range 100 {
		if found, want := h.delay(now), 100*time.Millisecond+time.Duration(n)*2*time.Millisecond; found != want {
			t.Errorf("number %d is delayed for %v, want %v", n, found, want)
		}
	}
	if found := h.delay(now.Add(time.Second)); found != 100*time.Millisecond {
		t.Errorf("after one second: %v, want 100ms", found)
	}
}

func TestWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		id := g.Wrap(&fakeIdentifier{})
		for range 2 * maxDelayed {
			check(t, "failure", identify(id, mallory, "bad"), bad)
		}
		if g.Delayed() != 0 || g.budgets.sources.len() != 0 {
			t.Errorf("%d delayed, %d sources stored, want none", g.Delayed(), g.budgets.sources.len())
		}
	})
}

// TestReload checks that a new identifier does not reset the failures of a source.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		spendBudget(t, g.Wrap(&fakeIdentifier{}), mallory)
		check(t, "at the next identifier", identify(g.Wrap(&fakeIdentifier{}), mallory, "bad"), delayed)
	})
}

func TestSources(t *testing.T) {
	for _, tt := range []struct {
		name, fails, then string
		want              outcome
	}{
		{"the same", "192.0.2.1", "192.0.2.1", delayed},
		{"the next IPv4 address", "192.0.2.1", "192.0.2.2", bad},
		{"IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", delayed},
		{"another IPv4 in IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", bad},
		{"the same /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", delayed},
		{"the next /64", "2001:db8::1", "2001:db8:0:1::1", bad},
		{"a zone", "fe80::1%eth0", "fe80::2%eth1", delayed},
		{"unknown", "", "", delayed},
		{"unknown and known", "", "192.0.2.1", bad},
		{"unknown and ::", "", "::", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := New(Options{FailuresPerSecond: 20}).Wrap(&fakeIdentifier{})
				spendBudget(t, id, address(t, tt.fails))
				check(t, tt.then, identify(id, address(t, tt.then), "bad"), tt.want)
			})
		})
	}
}

func address(t *testing.T, text string) netip.Addr {
	t.Helper()
	if text == "" {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// TestAddressesOfOneNetwork checks that all addresses of an IPv6 /64 share one budget.
func TestAddressesOfOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Wrap(&fakeIdentifier{})
		addr := netip.MustParseAddr("2001:db8::1")
		for range 20 {
			check(t, "within the budget", identify(id, addr, "bad"), bad)
			addr = addr.Next()
		}
		check(t, "beyond", identify(id, addr, "bad"), delayed)
		if n := g.budgets.sources.len(); n != 1 {
			t.Errorf("%d sources, want one", n)
		}
	})
}

// TestManySources checks that the numbers of stored sources are bounded, that a source that
// keeps failing is not evicted, and that failures do not evict known sources.
func TestManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Wrap(&fakeIdentifier{})
		check(t, "good", identify(id, alice, "good"), good)
		spendBudget(t, id, mallory)
		addr := netip.MustParseAddr("10.0.0.1")
		for n := range 5 * maxSources {
			if !g.budgets.charge(source{addr: addr}) {
				t.Fatalf("source %d is over its budget after one failure", n)
			}
			addr = addr.Next()
			if n%1000 == 0 && g.priority(source{addr: mallory}) != suspect {
				t.Fatalf("after %d sources a source that keeps failing has its budget back", n)
			}
		}
		if n := g.budgets.sources.len(); n > maxSources {
			t.Errorf("%d failing sources stored, want at most %d", n, maxSources)
		}
		if p := g.priority(source{addr: alice}); p != known {
			t.Errorf("a known source has priority %d, want %d", p, known)
		}
		for range 5 * maxSources {
			g.Accept(addr, "mail")
			addr = addr.Next()
		}
		if n := g.known.sources.len(); n > maxSources {
			t.Errorf("%d known sources stored, want at most %d", n, maxSources)
		}
	})
}

// TestNoFreeSlot checks the refusals when all slots for delayed refusals are taken.
func TestNoFreeSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := New(Options{FailuresPerSecond: 20}), &fakeIdentifier{}
		g.queue = newVerifyQueue(2 * maxDelayed) // wide enough for all requests
		id := g.Wrap(inner)
		spendBudget(t, id, mallory)
		spendBudget(t, id, alice)
		for range 19 {
			check(t, "bob", identify(id, bob, "bad"), bad)
		}
		calls := inner.calls.Load()
		var flood sync.WaitGroup
		for range maxDelayed {
			flood.Go(func() { check(t, "delayed", rounded(identify(id, mallory, "bad")), delayed) })
		}
		synctest.Wait()
		check(t, "one more", identify(id, mallory, "bad"), rateLimited)
		check(t, "good from a source that fails", identify(id, mallory, "good"), rateLimited)
		check(t, "another that fails", identify(id, alice, "bad"), rateLimited)
		if n := inner.calls.Load(); n != calls+maxDelayed {
			t.Errorf("%d verifications, want %d: none for rate_limited", n-calls, maxDelayed)
		}
		check(t, "the last of a budget", identify(id, bob, "bad"), bad)
		check(t, "good from a source that does not fail", identify(id, carol, "good"), good)
		flood.Wait()
		check(t, "good once there is room", identify(id, mallory, "good"), good)
		checkEmpty(t, g, 2*maxDelayed)
	})
}

// TestFailuresAtOnce checks more simultaneous failures than there are slots: the others are
// refused without a delay.
func TestFailuresAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := New(Options{FailuresPerSecond: 20}), &fakeIdentifier{gate: make(chan string)}
		g.queue = newVerifyQueue(2 * maxDelayed)
		id := g.Wrap(inner)
		var flood sync.WaitGroup
		var mu sync.Mutex
		count := map[outcome]int{}
		for range maxDelayed + 50 {
			flood.Go(func() {
				c := rounded(identify(id, mallory, "bad"))
				mu.Lock()
				defer mu.Unlock()
				count[c]++
			})
		}
		synctest.Wait()
		for range maxDelayed + 50 {
			<-inner.gate
		}
		flood.Wait()
		if len(count) != 2 || count[bad] != 50 || count[delayed] != maxDelayed {
			t.Errorf("found %v, want 50 at once and %d delayed", count, maxDelayed)
		}
		checkEmpty(t, g, 2*maxDelayed)
	})
}

// TestPanic checks that a panic releases the queue and the slot.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.queue = newVerifyQueue(1)
		id := g.Wrap(&fakeIdentifier{})
		panics := func() {
			defer func() {
				if recover() == nil {
					t.Error("want the panic, found none")
				}
			}()
			identify(id, mallory, "broken")
		}
		panics()
		check(t, "after a panic", identify(id, mallory, "good"), good)
		spendBudget(t, id, mallory)
		panics()
		check(t, "after a panic of a suspect", identify(id, mallory, "good"), good)
		checkEmpty(t, g, 1)
	})
}

// TestConcurrent runs valid and invalid requests concurrently for the race detector.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				id := g.Wrap(&fakeIdentifier{})
				source := []netip.Addr{mallory, alice, bob, {}}[n%4]
				for range 10 {
					if found := identify(id, source, "good"); found.reason != "" {
						t.Errorf("good: found %s", found.reason)
					}
					if found := identify(id, source, "bad"); found.reason != refusal.CertificateUntrusted {
						t.Errorf("bad: found %s", found.reason)
					}
				}
			})
		}
		all.Wait()
		checkEmpty(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}

// BenchmarkIdentify measures the overhead of a guard per verification (about 50 µs).
func BenchmarkIdentify(b *testing.B) {
	id := New(Options{FailuresPerSecond: 20}).Wrap(&fakeIdentifier{})
	claim := gate.Claim{Values: []string{"good"}, Source: mallory}
	b.ReportAllocs()
	for b.Loop() {
		id.Identify(claim, time.Time{})
	}
}
