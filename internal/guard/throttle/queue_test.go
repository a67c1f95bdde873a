package throttle

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// queued returns a guard that verifies one request at a time, and is verifying one.
func queued(t *testing.T) (g *Guard, inner *fakeIdentifier, id gate.Identifier) {
	t.Helper()
	g, inner = New(Options{FailuresPerSecond: 20}), &fakeIdentifier{}
	g.queue = newVerifyQueue(1)
	id = g.Wrap(inner)
	spendBudget(t, id, mallory)
	spendBudget(t, id, alice)
	inner.gate = make(chan string)
	go identify(id, bob, "good")
	synctest.Wait()
	return g, inner, id
}

// TestOrder checks the order of arrival, with sources over their budget last.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		var want []string
		for n := range 10 {
			for _, source := range []string{"suspect", "regular"} {
				addr := bob
				if source == "suspect" {
					addr = mallory
				}
				go identify(id, addr, fmt.Sprint(source, " ", n))
				synctest.Wait()
				want = append(want, fmt.Sprint(source, " ", n))
			}
		}
		slices.Sort(want) // regular sources first
		if n := inner.calls.Load(); n != 41 {
			t.Errorf("%d are being verified, want 1", n-40)
		}
		var found []string
		if first := <-inner.gate; first != "good" {
			t.Errorf("%q is verified, want the first request", first)
		}
		for range want {
			synctest.Wait()
			found = append(found, <-inner.gate)
		}
		if !slices.Equal(found, want) {
			t.Errorf("turns %q, want %q", found, want)
		}
		time.Sleep(time.Second) // until the delayed refusals are released
		checkEmpty(t, g, 1)
	})
}

// TestLimits checks that one source cannot fill the queue, and that sources over their budget
// cannot fill the queue of the others.
func TestLimits(t *testing.T) {
	s := newVerifyQueue(1)
	wantPlace := func(what string, st priority, addr netip.Addr, want bool) {
		t.Helper()
		if w, in := s.enqueue(st, source{addr: addr}); (w != nil) != want || in {
			t.Errorf("%s: place %t, in %t: want place %t", what, w != nil, in, want)
		}
	}
	if w, in := s.enqueue(suspect, source{addr: mallory}); w != nil || !in {
		t.Error("want the first request admitted without waiting")
	}
	for range maxOfSource {
		wantPlace("mallory", suspect, mallory, true)
	}
	wantPlace("one more of mallory", suspect, mallory, false)
	wantPlace("one more of mallory, regular", regular, mallory, false)
	for range maxOfSource {
		wantPlace("alice", suspect, alice, true)
	}
	wantPlace("one more suspect", suspect, bob, false)
	wantPlace("a regular source", regular, bob, true)
	s.leave()
	if n := len(s.waiting[regular]); n != 0 {
		t.Error("want the regular source let in first")
	}
	wantPlace("one more suspect", suspect, bob, false)
	s.leave()
	wantPlace("mallory, once there is room", suspect, mallory, true)
}

// A request waits for a limited time, and a timeout does not count as a failure.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		late, later := overloaded, overloaded
		late.delay, later.delay = time.Second, 1100*time.Millisecond
		var waiting sync.WaitGroup
		for range 30 {
			waiting.Go(func() { check(t, "a regular source", identify(id, carol, "bad"), late) })
		}
		// The budget is full again at the end of the wait, but was not at the beginning.
		waiting.Go(func() { check(t, "a suspect", identify(id, mallory, "good"), later) })
		waiting.Wait()
		if n := inner.calls.Load(); n != 41 {
			t.Errorf("%d verified, want none of the waiting requests", n-41)
		}
		<-inner.gate
		inner.gate = nil
		synctest.Wait()
		spendBudget(t, id, carol) // all of it is left
		check(t, "one more", identify(id, carol, "bad"), delayed)
		checkEmpty(t, g, 1)
	})
}

// The turn comes at the moment of the timeout.
func TestLastMoment(t *testing.T) {
	s := newVerifyQueue(1)
	s.enqueue(regular, source{addr: bob})
	w, _ := s.enqueue(regular, source{addr: alice})
	s.leave()
	if !s.giveUp(regular, w) {
		t.Error("want the request verified, found its turn lost")
	}
	s.leave()
	if s.free != 1 || len(s.bySource) != 0 {
		t.Errorf("%d free, want 1", s.free)
	}
}

// TestEndOfPause checks that a request that arrives at the end of a pause, before the timer
// has run, is verified after the request that has waited.
func TestEndOfPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newVerifyQueue(1)
		q.all.end = time.Now().Add(time.Second)
		first, _ := q.enqueue(regular, source{addr: alice})
		q.all.end = time.Now()
		second, admitted := q.enqueue(regular, source{addr: bob})
		if second == nil || admitted {
			t.Error("want the second request to wait")
		}
		select {
		case <-first.turn:
		default:
			t.Error("want the first request admitted")
		}
		time.Sleep(time.Second) // until the timer has run
	})
}
