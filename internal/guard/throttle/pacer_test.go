package throttle

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// slowIdentifier is a fakeIdentifier whose verifications take time.
type slowIdentifier struct {
	fakeIdentifier

	takes time.Duration
	spent atomic.Int64 // on failures, in nanoseconds
}

func (o *slowIdentifier) Identify(claim gate.Claim, now time.Time) gate.Identification {
	time.Sleep(o.takes)
	found := o.fakeIdentifier.Identify(claim, now)
	if found.Err != nil {
		o.spent.Add(int64(o.takes))
	}
	return found
}

// newSlow returns a guard that verifies one request at a time, for takes.
func newSlow(takes time.Duration) (*Guard, *slowIdentifier) {
	g := New(Options{FailuresPerSecond: 20})
	g.queue = newVerifyQueue(1)
	return g, &slowIdentifier{takes: takes}
}

// sourceNumber returns one of many addresses.
func sourceNumber(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
}

// startFlood calls fail once from each of 1,000 sources, and then continues as startFloodOf.
func startFlood(fail func(from netip.Addr)) (stop func()) {
	for n := range 1000 {
		fail(sourceNumber(n))
	}
	return startFloodOf(1000, fail)
}

// startFloodOf calls fail from many sources in turn, at 64 connections, until the returned
// function is called. It returns once the saved pause is used up.
func startFloodOf(sources int, fail func(from netip.Addr)) (stop func()) {
	var flood sync.WaitGroup
	var sent, stopped atomic.Int64
	for range 64 {
		flood.Go(func() {
			for stopped.Load() == 0 {
				fail(sourceNumber(int(sent.Add(1)) % sources))
			}
		})
	}
	for sent.Load() < 2000 {
		time.Sleep(time.Second)
	}
	return func() {
		stopped.Add(1)
		flood.Wait()
	}
}

// TestFloodOfManySources checks that the failures of 1,000 sources, each within its budget,
// take at most a fiftieth of the time, and a tenth if each source fails only once, whatever a
// failure costs.
func TestFloodOfManySources(t *testing.T) {
	for _, tt := range []struct {
		takes   time.Duration
		repeats bool
		want    time.Duration // of 10 s
	}{
		{60 * time.Microsecond, true, 200 * time.Millisecond},
		{300 * time.Microsecond, true, 200 * time.Millisecond},
		{3 * time.Millisecond, true, 200 * time.Millisecond},
		{60 * time.Microsecond, false, time.Second},
		{300 * time.Microsecond, false, time.Second},
		{3 * time.Millisecond, false, time.Second},
	} {
		t.Run(fmt.Sprintf("%v, repeats %t", tt.takes, tt.repeats), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, inner := newSlow(tt.takes)
				id := g.Wrap(inner)
				fail := func(from netip.Addr) { identify(id, from, "bad") }
				var stop func()
				if tt.repeats {
					stop = startFlood(fail)
				} else {
					stop = startFloodOf(1<<16, fail)
				}
				before := inner.spent.Load()
				time.Sleep(10 * time.Second)
				spent := time.Duration(inner.spent.Load() - before)
				stop()
				// One verification more may have ended in these 10 s.
				if spent > tt.want+tt.takes || spent < tt.want/2 {
					t.Errorf("failures took %v of 10s, want at most %v, and at least half of that", spent, tt.want)
				}
				checkEmpty(t, g, 1)
			})
		})
	}
}

// TestForgedSignaturesOfManySources checks the same for signatures, and that the client
// proceeds at once at an address where it is known, and soon at a new one.
func TestForgedSignaturesOfManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 800 * time.Microsecond
		g, _ := newSlow(0)
		var forged atomic.Int64
		verify := func(from netip.Addr, right bool) outcome {
			return proveBy(g, from, "mail", func() error {
				time.Sleep(takes)
				if right {
					return nil
				}
				forged.Add(1)
				return refusal.New(refusal.ProofInvalid, "bad")
			})
		}
		g.Accept(alice, "mail")
		stop := startFlood(func(from netip.Addr) { verify(from, false) })
		before := forged.Load()
		for n := range 1000 {
			check(t, "a known address", verify(alice, true), outcome{delay: takes})
			if n%100 == 0 {
				newcomer := verify(sourceNumber(10_000+n), true)
				if newcomer.reason != "" || newcomer.delay > 20*time.Millisecond {
					t.Errorf("a new address: found %+v, want it verified within 20ms", newcomer)
				}
			}
			time.Sleep(10*time.Millisecond - takes)
		}
		if n := forged.Load() - before; n > 250 || n < 200 {
			t.Errorf("%d forgeries verified in 10 s, want at most 250, a fiftieth of the time, and some", n)
		}
		stop()
		checkEmpty(t, g, 1)
	})
}

// TestCopiedSignature checks that a client becomes known only through Accept, and not
// through a signature that was verified, because that may be a copy.
func TestCopiedSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newSlow(0)
		check(t, "a copy", prove(g, mallory, "mail", true), good)
		if p := g.priority(source{addr: mallory, client: "mail"}); p != regular {
			t.Errorf("priority %d, want %d", p, regular)
		}
		g.Accept(mallory, "mail")
		if p := g.priority(source{addr: mallory, client: "mail"}); p != known {
			t.Errorf("priority %d after Accept, want %d", p, known)
		}
		for what, s := range map[string]source{
			"another client":  {addr: mallory, client: "social"},
			"another address": {addr: alice, client: "mail"},
			"no client":       {addr: mallory},
		} {
			if p := g.priority(s); p != regular {
				t.Errorf("%s: priority %d, want %d", what, p, regular)
			}
		}
	})
}

// TestNewcomersDuringFlood checks how long good requests wait during a flood of expensive
// credentials: known sources for the verification in progress, new sources for one pause.
func TestNewcomersDuringFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = time.Millisecond
		g, inner := newSlow(takes)
		id := g.Wrap(inner)
		check(t, "before the flood", identify(id, alice, "good"), outcome{delay: takes})
		stop := startFlood(func(from netip.Addr) { identify(id, from, "bad") })
		for n := range 100 {
			if found := identify(id, alice, "good"); found.reason != "" || found.delay > 2*takes {
				t.Fatalf("a known source: found %+v, want it verified within %v", found, 2*takes)
			}
			if found := identify(id, sourceNumber(10_000+n), "good"); found.reason != "" || found.delay > 15*takes {
				t.Fatalf("a new source: found %+v, want it verified within %v", found, 15*takes)
			}
			time.Sleep(7 * time.Millisecond)
		}
		stop()
		checkEmpty(t, g, 1)
	})
}

// TestAfterFlood checks that nothing waits 200 ms after the end of a flood, and that
// failures cause no pause one second later.
func TestAfterFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := newSlow(3 * time.Millisecond)
		id := g.Wrap(inner)
		startFlood(func(from netip.Addr) { identify(id, from, "bad") })()
		time.Sleep(maxPause)
		check(t, "new", identify(id, bob, "good"), outcome{delay: inner.takes})
		time.Sleep(savedPause)
		for n := range 10 {
			check(t, "a failure", identify(id, sourceNumber(10_000+n), "bad"), outcome{reason: refusal.CertificateUntrusted, delay: inner.takes})
		}
		check(t, "new, after some failures", identify(id, carol, "good"), outcome{delay: inner.takes})
	})
}

// TestAllClientsAtOnce checks that 1,000 new clients, as after a reload, cause no pause.
func TestAllClientsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 100 * time.Microsecond
		g, inner := newSlow(takes)
		id := g.Wrap(inner)
		begin := time.Now()
		var clients sync.WaitGroup
		for n := range 1000 {
			clients.Go(func() {
				if found := identify(id, sourceNumber(n), "good"); found.reason != "" {
					t.Errorf("client %d: found %+v, want it accepted", n, found)
				}
			})
		}
		clients.Wait()
		if found, want := time.Since(begin), 1000*takes; found != want {
			t.Errorf("found %v, want %v: one verification after the other", found, want)
		}
		checkEmpty(t, g, 1)
	})
}

// TestKnownAfterFailure checks that a known source that arrives during a verification does not
// wait for the pause that this verification causes.
func TestKnownAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 10 * time.Millisecond
		g, inner := newSlow(takes)
		id := g.Wrap(inner)
		check(t, "alice, first", identify(id, alice, "good"), outcome{delay: takes})
		g.queue.all.end = time.Now()
		var both sync.WaitGroup
		both.Go(func() {
			check(t, "bob", identify(id, bob, "bad"), outcome{reason: refusal.CertificateUntrusted, delay: takes})
		})
		synctest.Wait()
		both.Go(func() {
			check(t, "carol, new", identify(id, carol, "good"), outcome{delay: takes + 100500*time.Microsecond})
		})
		synctest.Wait()
		check(t, "alice", identify(id, alice, "good"), outcome{delay: 2 * takes})
		both.Wait()
		checkEmpty(t, g, 1)
	})
}

// TestFailuresWithoutLimit checks that nothing pauses without a limit.
func TestFailuresWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := New(Options{}).Wrap(&slowIdentifier{takes: time.Millisecond})
		for n := range 1000 {
			check(t, "a failure", identify(id, sourceNumber(n), "bad"), outcome{reason: refusal.CertificateUntrusted, delay: time.Millisecond})
		}
	})
}

// TestPauseOrder checks that known sources are verified during a pause, and the others
// after it in the order of their priorities, those that have failed after their longer pause.
func TestPauseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newVerifyQueue(1)
		begin := time.Now()
		q.all.end = begin.Add(100 * time.Millisecond)
		q.repeated.end = begin.Add(200 * time.Millisecond)
		var found []string
		var all sync.WaitGroup
		for p := priorities - 1; p >= known; p-- {
			all.Go(func() {
				if !q.enter(p, source{addr: sourceNumber(int(p))}) {
					t.Errorf("priority %d: found no turn", p)
				}
				found = append(found, fmt.Sprint(p, " after ", time.Since(begin)))
				q.leave()
			})
			synctest.Wait()
		}
		all.Wait()
		want := "[0 after 0s 1 after 100ms 2 after 200ms 3 after 200ms]"
		if fmt.Sprint(found) != want {
			t.Errorf("turns %v, want %v", found, want)
		}
	})
}

// TestPauseOfPriority checks which pauses a failure causes, by the priority of its source.
func TestPauseOfPriority(t *testing.T) {
	const short, long = 100*time.Millisecond + refusalPause, maxPause
	for _, tt := range []struct {
		charged         priority
		regular, failed time.Duration
	}{
		{immediate, short, short},
		{known, short, short},
		{regular, short, short},
		{failing, short, long},
		{suspect, short, long},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newVerifyQueue(1)
			q.all.end, q.repeated.end = time.Now(), time.Now()
			q.charge(tt.charged, 10*time.Millisecond)
			found := []time.Duration{q.pause(known), q.pause(regular), q.pause(failing), q.pause(suspect)}
			want := []time.Duration{0, tt.regular, tt.failed, tt.failed}
			if !slices.Equal(found, want) {
				t.Errorf("after a failure with priority %d: pauses %v, want %v", tt.charged, found, want)
			}
		})
	}
}

// TestFullDuringPause checks that a pause does not lift the limits of the queue.
func TestFullDuringPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner := newSlow(0)
		id := g.Wrap(inner)
		var waiting sync.WaitGroup
		for n := range maxWaiting {
			g.queue.all.end = time.Now().Add(time.Hour)
			waiting.Go(func() {
				late := overloaded
				late.delay = maxWait
				check(t, "waiting", identify(id, sourceNumber(n), "good"), late)
			})
			synctest.Wait()
		}
		check(t, "one more", identify(id, alice, "good"), overloaded)
		g.known.add(source{addr: bob})
		check(t, "a known source", identify(id, bob, "good"), good)
		waiting.Wait()
		if n := inner.calls.Load(); n != 1 {
			t.Errorf("%d verifications, want none of those that waited", n-1)
		}
		checkEmpty(t, g, 1)
	})
}

func TestPacer(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		name   string
		charge []time.Duration // one after the other at begin
		after  time.Duration
		want   time.Duration
	}{
		{"nothing", nil, 0, 0},
		{"less than is saved", []time.Duration{90 * time.Millisecond}, 0, 0},
		{"all that is saved", []time.Duration{99950 * time.Microsecond}, 0, 0},
		{"one millisecond more", []time.Duration{99950 * time.Microsecond, 950 * time.Microsecond}, 0, 10 * time.Millisecond},
		{"the cost of a refusal", []time.Duration{99950 * time.Microsecond, 0, 0}, 0, time.Millisecond},
		{"some time later", []time.Duration{99950 * time.Microsecond, 950 * time.Microsecond}, 4 * time.Millisecond, 6 * time.Millisecond},
		{"long later", []time.Duration{99950 * time.Microsecond, 950 * time.Microsecond}, time.Minute, 0},
		{"the longest pause", []time.Duration{time.Hour, time.Hour}, 0, maxPause},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPacer(pauseFactor)
			for _, d := range tt.charge {
				p.charge(d, begin)
			}
			if found := p.pause(begin.Add(tt.after)); found != tt.want {
				t.Errorf("pause %v, want %v", found, tt.want)
			}
		})
	}
}
