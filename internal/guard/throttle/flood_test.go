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
		g, inner := New(Options{FailuresPerSecond: 20}), &office{}
		id := g.Before(inner)
		check(t, "good", ask(id, mallory, "good"), good)
		spend(t, id, mallory)
		check(t, "one more", ask(id, mallory, "bad"), held)
		check(t, "good, from a source that fails", ask(id, mallory, "good"), good)
		check(t, "another source", ask(id, alice, "bad"), bad)
		// While one was held back, two more came in.
		check(t, "first of two", ask(id, mallory, "bad"), bad)
		check(t, "second of two", ask(id, mallory, "bad"), bad)
		check(t, "third of two", ask(id, mallory, "bad"), held)
		if n := g.Held(); n != 2 {
			t.Errorf("%d held back, want 2", n)
		}
		time.Sleep(time.Second)
		spend(t, id, mallory)
		check(t, "one more a second later", ask(id, mallory, "bad"), held)
		if n := inner.asked.Load(); n != 48 {
			t.Errorf("asked %d times, want each time", n)
		}
		checkIdle(t, g, max(1, runtime.GOMAXPROCS(0)/2))
	})
}

// However many connections a flood has, it gets 500 answers a second, and those
// that its budget has.
func TestFloodIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &office{}
		id := New(Options{FailuresPerSecond: 20}).Before(inner)
		var flood sync.WaitGroup
		end := time.Now().Add(10 * time.Second)
		for range 500 {
			flood.Go(func() {
				for time.Now().Before(end) {
					ask(id, mallory, "bad")
				}
			})
		}
		flood.Wait()
		if n := inner.asked.Load(); n > 20+10*(500+20)+500 {
			t.Errorf("%d verifications in 10 s, want about 520 a second", n)
		}
	})
}

// Those who are held back go one by one.
func TestGap(t *testing.T) {
	h := newHold()
	now := time.Now()
	for n := range 100 {
		if found, want := h.delay(now), 100*time.Millisecond+time.Duration(n)*2*time.Millisecond; found != want {
			t.Errorf("number %d is held back for %v, want %v", n, found, want)
		}
	}
	if found := h.delay(now.Add(time.Second)); found != 100*time.Millisecond {
		t.Errorf("later on it is %v, want 100ms", found)
	}
}

func TestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		id := g.Before(&office{})
		for range 2 * maxHeld {
			check(t, "failure", ask(id, mallory, "bad"), bad)
		}
		if g.Held() != 0 || len(g.budgets.recent) != 0 {
			t.Errorf("%d held back, %d sources known: want none", g.Held(), len(g.budgets.recent))
		}
	})
}

// The keyring is loaded again; who has failed has failed.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		spend(t, g.Before(&office{}), mallory)
		check(t, "at the next identifier", ask(g.Before(&office{}), mallory, "bad"), held)
	})
}

func TestSources(t *testing.T) {
	for _, tt := range []struct {
		name, fails, asks string
		want              came
	}{
		{"the same", "192.0.2.1", "192.0.2.1", held},
		{"the next IPv4 address", "192.0.2.1", "192.0.2.2", bad},
		{"IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", held},
		{"another IPv4 in IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", bad},
		{"the same /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", held},
		{"the next /64", "2001:db8::1", "2001:db8:0:1::1", bad},
		{"a zone", "fe80::1%eth0", "fe80::2%eth1", held},
		{"unknown", "", "", held},
		{"unknown and known", "", "192.0.2.1", bad},
		{"unknown and ::", "", "::", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := New(Options{FailuresPerSecond: 20}).Before(&office{})
				spend(t, id, address(t, tt.fails))
				check(t, tt.asks, ask(id, address(t, tt.asks), "bad"), tt.want)
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

// An IPv6 customer has 2^64 addresses and one budget.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Before(&office{})
		addr := netip.MustParseAddr("2001:db8::1")
		for range 20 {
			check(t, "within the budget", ask(id, addr, "bad"), bad)
			addr = addr.Next()
		}
		check(t, "beyond", ask(id, addr, "bad"), held)
		if n := len(g.budgets.recent); n != 1 {
			t.Errorf("%d sources, want one", n)
		}
	})
}

// More sources than there is room for: the bound holds, and who goes on failing
// is not forgotten for it.
func TestManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		id := g.Before(&office{})
		spend(t, id, mallory)
		addr := netip.MustParseAddr("10.0.0.1")
		for n := range 5 * maxSources {
			if found := ask(id, addr, "bad"); found != bad {
				t.Fatalf("source %d: found %+v, want %+v", n, found, bad)
			}
			addr = addr.Next()
			if n%1000 == 0 {
				check(t, "good from one that fails", ask(id, mallory, "good"), good)
			}
		}
		if n := len(g.budgets.recent) + len(g.budgets.older); n > maxSources {
			t.Errorf("%d sources known, want at most %d", n, maxSources)
		}
		check(t, "who was seen all the time", ask(id, mallory, "bad"), held)
	})
}

// No place is left among the answers that are held back.
func TestNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := New(Options{FailuresPerSecond: 20}), &office{}
		g.turnstile = newTurnstile(2 * maxHeld) // nobody waits for a turn
		id := g.Before(inner)
		spend(t, id, mallory)
		spend(t, id, alice)
		for range 19 {
			check(t, "bob", ask(id, bob, "bad"), bad)
		}
		asked := inner.asked.Load()
		var flood sync.WaitGroup
		for range maxHeld {
			flood.Go(func() { check(t, "held back", rounded(ask(id, mallory, "bad")), held) })
		}
		synctest.Wait()
		check(t, "one more", ask(id, mallory, "bad"), rateLimited)
		check(t, "good from a source that fails", ask(id, mallory, "good"), rateLimited)
		check(t, "another that fails", ask(id, alice, "bad"), rateLimited)
		if n := inner.asked.Load(); n != asked+maxHeld {
			t.Errorf("%d verifications, want %d: none for who is told rate_limited", n-asked, maxHeld)
		}
		check(t, "the last of a budget", ask(id, bob, "bad"), bad)
		check(t, "good from a source that does not fail", ask(id, carol, "good"), good)
		flood.Wait()
		check(t, "good once there is room", ask(id, mallory, "good"), good)
		checkIdle(t, g, 2*maxHeld)
	})
}

// Each failed while the budget still had something: there are not enough places
// for all, and the others are told at once what is wrong.
func TestAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := New(Options{FailuresPerSecond: 20}), &office{desk: make(chan string)}
		g.turnstile = newTurnstile(2 * maxHeld)
		id := g.Before(inner)
		var flood sync.WaitGroup
		var mu sync.Mutex
		count := map[came]int{}
		for range maxHeld + 50 {
			flood.Go(func() {
				c := rounded(ask(id, mallory, "bad"))
				mu.Lock()
				defer mu.Unlock()
				count[c]++
			})
		}
		synctest.Wait()
		for range maxHeld + 50 {
			<-inner.desk
		}
		flood.Wait()
		if len(count) != 2 || count[bad] != 50 || count[held] != maxHeld {
			t.Errorf("found %v, want 50 at once and %d held back", count, maxHeld)
		}
		checkIdle(t, g, 2*maxHeld)
	})
}

// Whatever becomes of the verification, the turn and the place are given back.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{FailuresPerSecond: 20})
		g.turnstile = newTurnstile(1)
		id := g.Before(&office{})
		panics := func() {
			defer func() {
				if recover() == nil {
					t.Error("want the panic, found none")
				}
			}()
			ask(id, mallory, "broken")
		}
		panics()
		check(t, "after a panic", ask(id, mallory, "good"), good)
		spend(t, id, mallory)
		panics()
		check(t, "after a panic of a suspect", ask(id, mallory, "good"), good)
		checkIdle(t, g, 1)
	})
}

// Many of all kinds at once, on a real clock, for the race detector.
func TestConcurrent(t *testing.T) {
	g := New(Options{FailuresPerSecond: 20})
	var all sync.WaitGroup
	for n := range 32 {
		all.Go(func() {
			id := g.Before(&office{})
			source := []netip.Addr{mallory, alice, bob, {}}[n%4]
			for range 10 {
				if found := ask(id, source, "good"); found.reason != "" {
					t.Errorf("good: found %s", found.reason)
				}
				if found := ask(id, source, "bad"); found.reason != refusal.CertificateUntrusted {
					t.Errorf("bad: found %s", found.reason)
				}
			}
		})
	}
	all.Wait()
	checkIdle(t, g, max(1, runtime.GOMAXPROCS(0)/2))
}

// What a guard adds to a verification, some 50 us.
func BenchmarkIdentify(b *testing.B) {
	id := New(Options{FailuresPerSecond: 20}).Before(&office{})
	claim := gate.Claim{Values: []string{"good"}, Source: mallory}
	b.ReportAllocs()
	for b.Loop() {
		id.Identify(claim, time.Time{})
	}
}
