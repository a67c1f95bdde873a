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

// queued is a guard with one turn, and somebody who has it.
func queued(t *testing.T) (g *Guard, inner *office, id gate.Identifier) {
	t.Helper()
	g, inner = New(Options{FailuresPerSecond: 20}), &office{}
	g.turnstile = newTurnstile(1)
	id = g.Before(inner)
	spend(t, id, mallory)
	spend(t, id, alice)
	inner.desk = make(chan string)
	go ask(id, bob, "good")
	synctest.Wait()
	return g, inner, id
}

// One after the other in the order they came, but whose source fails comes last.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		var want []string
		for n := range 10 {
			for _, source := range []string{"suspect", "innocent"} {
				addr := bob
				if source == "suspect" {
					addr = mallory
				}
				go ask(id, addr, fmt.Sprint(source, " ", n))
				synctest.Wait()
				want = append(want, fmt.Sprint(source, " ", n))
			}
		}
		slices.Sort(want) // innocents first
		if n := inner.asked.Load(); n != 41 {
			t.Errorf("%d are being verified, want 1", n-40)
		}
		var found []string
		if first := <-inner.desk; first != "good" {
			t.Errorf("%q has the turn, want the first", first)
		}
		for range want {
			synctest.Wait()
			found = append(found, <-inner.desk)
		}
		if !slices.Equal(found, want) {
			t.Errorf("turns %q, want %q", found, want)
		}
		time.Sleep(time.Second) // what is held back
		checkIdle(t, g, 1)
	})
}

// One source cannot fill a line, and those that fail cannot fill that of those
// who do not.
func TestLines(t *testing.T) {
	s := newTurnstile(1)
	wantPlace := func(what string, st standing, addr netip.Addr, want bool) {
		t.Helper()
		if w, in := s.queue(st, source{addr: addr}); (w != nil) != want || in {
			t.Errorf("%s: place %t, in %t: want place %t", what, w != nil, in, want)
		}
	}
	if w, in := s.queue(suspect, source{addr: mallory}); w != nil || !in {
		t.Error("want the way free for the first")
	}
	for range maxOfSource {
		wantPlace("mallory", suspect, mallory, true)
	}
	wantPlace("one more of mallory", suspect, mallory, false)
	wantPlace("one more of mallory, innocent", innocent, mallory, false)
	for range maxOfSource {
		wantPlace("alice", suspect, alice, true)
	}
	wantPlace("one more suspect", suspect, bob, false)
	wantPlace("an innocent", innocent, bob, true)
	s.leave()
	if n := len(s.lines[innocent]); n != 0 {
		t.Error("want the innocent let in first")
	}
	wantPlace("one more suspect", suspect, bob, false)
	s.leave()
	wantPlace("mallory, once there is room", suspect, mallory, true)
}

// Nobody waits for ever; who had no turn has not failed.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, inner, id := queued(t)
		late, later := overloaded, overloaded
		late.after, later.after = time.Second, 1100*time.Millisecond
		var waiting sync.WaitGroup
		for range 30 {
			waiting.Go(func() { check(t, "an innocent", ask(id, carol, "bad"), late) })
		}
		// Its budget is full again when it leaves, but it was not when it came.
		waiting.Go(func() { check(t, "a suspect", ask(id, mallory, "good"), later) })
		waiting.Wait()
		if n := inner.asked.Load(); n != 41 {
			t.Errorf("%d verified, want none of those who waited", n-41)
		}
		<-inner.desk
		inner.desk = nil
		synctest.Wait()
		spend(t, id, carol) // all of it is left
		check(t, "one more", ask(id, carol, "bad"), held)
		checkIdle(t, g, 1)
	})
}

// The turn comes in the moment in which the patience ends.
func TestLastMoment(t *testing.T) {
	s := newTurnstile(1)
	s.queue(innocent, source{addr: bob})
	w, _ := s.queue(innocent, source{addr: alice})
	s.leave()
	if !s.giveUp(innocent, w) {
		t.Error("want the turn taken, found it lost")
	}
	s.leave()
	if s.free != 1 || len(s.bySource) != 0 {
		t.Errorf("%d free, want 1", s.free)
	}
}
