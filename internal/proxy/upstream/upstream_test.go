package upstream_test

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSilent = errors.New("no answer")

const (
	failuresInRow = 5
	retryInterval = time.Second
)

// pool is one with a clock of its own, and what it told.
type pool struct {
	*upstream.Pool
	now     time.Time
	changes []upstream.Change
}

func newPool(n, most int) *pool {
	p := &pool{now: time.Unix(1_000_000_000, 0)}
	var addresses []*url.URL
	for i := range n {
		addresses = append(addresses, &url.URL{Scheme: "http", Host: "a" + strconv.Itoa(i)})
	}
	p.Pool = upstream.New(upstream.Options{
		Addresses: addresses, MaxInFlight: most,
		Now:     func() time.Time { return p.now },
		Changed: func(c upstream.Change) { p.changes = append(p.changes, c) },
	})
	return p
}

// mail is the client of most tests.
const mail = "mail"

// begin wants a place.
func (p *pool) begin(t testing.TB) *upstream.Reservation {
	t.Helper()
	return p.beginFor(t, mail)
}

// beginFor wants a place for the client.
func (p *pool) beginFor(t testing.TB, client string) *upstream.Reservation {
	t.Helper()
	if refused := p.CheckCapacity(client); refused != nil {
		t.Fatalf("want no overload, found %v", refused)
	}
	v := new(upstream.Reservation)
	if refused := p.Reserve(v, client); refused != nil {
		t.Fatalf("want a place, found %v", refused)
	}
	return v
}

// wantOverloaded wants no place, before and at Begin.
func (p *pool) wantOverloaded(t *testing.T) {
	t.Helper()
	p.wantOverloadedFor(t, mail)
}

// wantOverloadedFor wants no place for the client, before and at Begin.
func (p *pool) wantOverloadedFor(t *testing.T, client string) {
	t.Helper()
	begin := p.Reserve(new(upstream.Reservation), client)
	for when, refused := range map[string]*refusal.Error{"Overloaded": p.CheckCapacity(client), "Begin": begin} {
		if refused == nil || refused.Reason != refusal.Overloaded || refused.RetryAfter != time.Second {
			t.Errorf("%s: want overloaded and another try in a second, found %+v", when, refused)
		}
	}
}

// fail lets n requests in a row end without an answer.
func (p *pool) fail(t *testing.T, n int) {
	t.Helper()
	for range n {
		v := p.begin(t)
		v.Failed(errSilent)
		v.Release()
	}
}

func (p *pool) wantUp(t *testing.T, want ...bool) {
	t.Helper()
	var found []bool
	for i := range p.Len() {
		found = append(found, p.Up(i))
	}
	if !slices.Equal(found, want) {
		t.Fatalf("want the addresses up: %v, found %v", want, found)
	}
}

func TestLeastLoaded(t *testing.T) {
	p := newPool(3, 10)
	var all []*upstream.Reservation
	for i := range 6 {
		all = append(all, p.begin(t))
		if found := all[i].Index(); found != i%3 {
			t.Errorf("request %d: want address %d, found %d", i, i%3, found)
		}
	}
	all[1].Release()
	all[4].Release()
	for range 2 {
		if v := p.begin(t); v.Index() != 1 {
			t.Errorf("want the address with the fewest requests, found %d", v.Index())
		}
	}
}

// TestTiesTakeTurns: one request at a time still goes to each address.
func TestTiesTakeTurns(t *testing.T) {
	p := newPool(3, 1)
	for i := range 7 {
		v := p.begin(t)
		if v.Index() != i%3 || v.Name() != p.Name(i%3) || v.URL() != p.URL(i%3) {
			t.Errorf("request %d: want address %d, found %d %s %s", i, i%3, v.Index(), v.Name(), v.URL())
		}
		v.Succeeded()
		v.Release()
	}
}

func TestName(t *testing.T) {
	for given, want := range map[string]string{
		"http://a": "a:80", "https://a": "a:443", "http://a:8081": "a:8081", "https://[::1]": "[::1]:443", "http://[::1]:1": "[::1]:1",
	} {
		u, err := url.Parse(given)
		if err != nil {
			t.Fatal(err)
		}
		if found := upstream.Name(u); found != want {
			t.Errorf("%s: want %s, found %s", given, want, found)
		}
	}
}

func TestInFlightIsBounded(t *testing.T) {
	p := newPool(2, 3)
	first, second := p.begin(t), p.begin(t)
	third := p.begin(t)
	p.wantOverloaded(t)
	first.Release()
	first.Release() // is nothing more
	fourth := p.begin(t)
	p.wantOverloaded(t)
	// Who goes to another address still has one place.
	if !fourth.Retry() {
		t.Error("want another address, found none")
	}
	for _, v := range []*upstream.Reservation{second, third, fourth} {
		v.Release()
	}
	for range 3 {
		p.begin(t)
	}
	p.wantOverloaded(t)
}

func TestAnother(t *testing.T) {
	p := newPool(3, 10)
	v := p.begin(t)
	seen := []int{v.Index()}
	for v.Retry() {
		seen = append(seen, v.Index())
	}
	if !slices.Equal(seen, []int{0, 1, 2}) {
		t.Errorf("want each address once, found %v", seen)
	}
	v.Release()
	// Nobody is left where the request was.
	var all []int
	for range 3 {
		all = append(all, p.begin(t).Index())
	}
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2}) {
		t.Errorf("want each address as little loaded as the others, found %v", all)
	}
}

func TestGoesOutAfterFailuresInARow(t *testing.T) {
	p := newPool(1, 10)
	p.fail(t, failuresInRow-1)
	v := p.begin(t)
	v.Succeeded()
	v.Release()
	p.fail(t, failuresInRow-1)
	v = p.begin(t)
	v.Release() // a client that hung up
	p.wantUp(t, true)
	p.fail(t, 1)
	p.wantUp(t, false)
	p.wantOverloaded(t)
	if len(p.changes) != 1 || p.changes[0] != (upstream.Change{Name: "a0:80", Err: errSilent}) {
		t.Errorf("want one word of it, found %+v", p.changes)
	}
}

func TestOthersGetTheRequests(t *testing.T) {
	p := newPool(2, 10)
	for range failuresInRow {
		v := p.begin(t)
		if v.Index() == 0 {
			v.Failed(errSilent)
			if !v.Retry() {
				t.Fatal("want another address, found none")
			}
		}
		v.Succeeded()
		v.Release()
	}
	for range failuresInRow { // those that began at address 1
		v := p.begin(t)
		if v.Index() == 0 {
			v.Failed(errSilent)
		}
		v.Release()
	}
	p.wantUp(t, false, true)
	for range 3 {
		v := p.begin(t)
		if v.Index() != 1 || v.Retry() {
			t.Errorf("want address 1 and no other, found %d", v.Index())
		}
	}
}

// TestOneRequestTries an address that has rested, and decides for the others.
func TestOneRequestTries(t *testing.T) {
	tests := []struct {
		name string
		end  func(*upstream.Reservation)
		up   bool
		soon bool // whether the next may try at once
	}{
		{"answered", func(v *upstream.Reservation) { v.Succeeded() }, true, true},
		{"failed", func(v *upstream.Reservation) { v.Failed(errSilent) }, false, false},
		{"hung up", func(*upstream.Reservation) {}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(1, 10)
			p.fail(t, failuresInRow)
			p.now = p.now.Add(retryInterval - 1)
			p.wantOverloaded(t)
			p.now = p.now.Add(1)
			v := p.begin(t)
			p.wantOverloaded(t) // one at a time
			tt.end(v)
			v.Release()
			p.wantUp(t, tt.up)
			if !tt.soon {
				p.wantOverloaded(t)
				p.now = p.now.Add(retryInterval)
			}
			p.begin(t)
		})
	}
}

// TestLateEnd: a trial that failed and ends late does not end the next one.
func TestLateEnd(t *testing.T) {
	p := newPool(1, 10)
	p.fail(t, failuresInRow)
	p.now = p.now.Add(retryInterval)
	first := p.begin(t)
	first.Failed(errSilent)
	p.now = p.now.Add(retryInterval)
	p.begin(t)
	first.Release()
	p.wantOverloaded(t)
}

// TestProbeComesFirst: or a busy pool would never learn that an address is back.
func TestProbeComesFirst(t *testing.T) {
	p := newPool(2, 100)
	for p.Up(0) {
		v := p.begin(t)
		if v.Index() == 0 {
			v.Failed(errSilent)
		}
		v.Release()
	}
	p.begin(t)
	p.now = p.now.Add(retryInterval)
	if v := p.begin(t); v.Index() != 0 {
		t.Errorf("want the address that has rested, found %d", v.Index())
	}
	if v := p.begin(t); v.Index() != 1 {
		t.Errorf("want the good address, found %d", v.Index())
	}
}

// TestOldResultsSayNothing: what began before an address went out is no word on
// whether it is back, and what began before it came back none on today.
func TestOldResultsSayNothing(t *testing.T) {
	p := newPool(1, 100)
	var old []*upstream.Reservation
	for range 3 * failuresInRow {
		old = append(old, p.begin(t))
	}
	p.fail(t, failuresInRow)
	old[0].Succeeded()
	p.wantUp(t, false)
	p.now = p.now.Add(retryInterval)
	probe := p.begin(t)
	old[1].Failed(errSilent)
	old[1].Release()
	p.wantOverloaded(t) // the trial is still one request's
	probe.Succeeded()
	p.wantUp(t, true)
	for _, v := range old[2:] {
		v.Failed(errSilent)
		v.Release()
	}
	p.wantUp(t, true)
	if len(p.changes) != 2 || p.changes[1] != (upstream.Change{Name: "a0:80", Up: true}) {
		t.Errorf("want one word of each change, found %+v", p.changes)
	}
}

// TestConcurrentUse: whatever becomes of many requests, nothing is left of them.
func TestConcurrentUse(t *testing.T) {
	addresses := []*url.URL{{Scheme: "http", Host: "a"}, {Scheme: "http", Host: "b"}, {Scheme: "http", Host: "c"}}
	const most = 8
	p := upstream.New(upstream.Options{Addresses: addresses, MaxInFlight: most, Now: time.Now})
	var all sync.WaitGroup
	for seed := range uint64(2 * most) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 2000 {
				var v upstream.Reservation
				if p.Reserve(&v, strconv.Itoa(random.IntN(3))) != nil {
					continue
				}
				switch random.IntN(4) {
				case 0:
					v.Failed(errSilent)
					if v.Retry() {
						v.Succeeded()
					}
				case 1:
					v.Retry()
				default:
					v.Succeeded()
				}
				v.Release()
			}
		})
	}
	all.Wait()
	for _, n := range p.Loads() {
		if n != 0 {
			t.Errorf("want no request in flight, found %v", p.Loads())
		}
	}
	if p.InFlight() != 0 || p.Clients() != 0 {
		t.Errorf("want no place taken and no client noted, found %d and %d", p.InFlight(), p.Clients())
	}
}

// BenchmarkVisit is hot: every forwarded request does it once.
func BenchmarkVisit(b *testing.B) {
	for _, n := range []int{1, 3, 64} {
		p := newPool(n, 100)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.CheckCapacity(mail) != nil {
					b.Fatal("want a place, found none")
				}
				var v upstream.Reservation
				p.Reserve(&v, mail)
				v.Succeeded()
				v.Release()
			}
		})
	}
}
