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

var errNoResponse = errors.New("no response")

const (
	failuresInRow = 5
	retryInterval = time.Second
)

// pool is a Pool with its own clock and the changes that it reported.
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

// reserve reserves a place for mail.
func (p *pool) reserve(t testing.TB) *upstream.Reservation {
	t.Helper()
	return p.reserveFor(t, mail)
}

// reserveFor reserves a place for the client.
func (p *pool) reserveFor(t testing.TB, client string) *upstream.Reservation {
	t.Helper()
	if refused := p.CheckCapacity(client); refused != nil {
		t.Fatalf("want no overload, found %v", refused)
	}
	v := new(upstream.Reservation)
	if refused := p.Reserve(v, client, p.now); refused != nil {
		t.Fatalf("want a place, found %v", refused)
	}
	return v
}

// wantOverloaded expects a refusal from CheckCapacity and Reserve.
func (p *pool) wantOverloaded(t *testing.T) {
	t.Helper()
	p.wantOverloadedFor(t, mail)
}

// wantOverloadedFor expects a refusal of the client from CheckCapacity and Reserve.
func (p *pool) wantOverloadedFor(t *testing.T, client string) {
	t.Helper()
	begin := p.Reserve(new(upstream.Reservation), client, p.now)
	for when, refused := range map[string]*refusal.Error{"Overloaded": p.CheckCapacity(client), "Begin": begin} {
		if refused == nil || refused.Reason != refusal.Overloaded || refused.RetryAfter != time.Second {
			t.Errorf("%s: want overloaded and another try in a second, found %+v", when, refused)
		}
	}
}

// fail lets n consecutive requests end without a response.
func (p *pool) fail(t *testing.T, n int) {
	t.Helper()
	for range n {
		v := p.reserve(t)
		v.Failed(errNoResponse)
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
		all = append(all, p.reserve(t))
		if found := all[i].Index(); found != i%3 {
			t.Errorf("request %d: want address %d, found %d", i, i%3, found)
		}
	}
	all[1].Release()
	all[4].Release()
	for range 2 {
		if v := p.reserve(t); v.Index() != 1 {
			t.Errorf("want the address with the fewest requests, found %d", v.Index())
		}
	}
}

// TestTiesRotate: consecutive requests, one at a time, use all addresses.
func TestTiesRotate(t *testing.T) {
	p := newPool(3, 1)
	for i := range 7 {
		v := p.reserve(t)
		if v.Index() != i%3 || v.Name() != p.Name(i%3) || v.URL() != p.URL(i%3) {
			t.Errorf("request %d: want address %d, found %d %s %s", i, i%3, v.Index(), v.Name(), v.URL())
		}
		v.Succeeded()
		v.Release()
	}
}

func TestName(t *testing.T) {
	for given, want := range map[string]string{
		"unix:/run/a.sock": "unix:/run/a.sock", "http://a": "a:80", "https://a": "a:443", "http://a:8081": "a:8081", "https://[::1]": "[::1]:443", "http://[::1]:1": "[::1]:1",
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
	first, second := p.reserve(t), p.reserve(t)
	third := p.reserve(t)
	p.wantOverloaded(t)
	first.Release()
	first.Release() // is nothing more
	fourth := p.reserve(t)
	p.wantOverloaded(t)
	// A request that moves to another address still has one place.
	if !fourth.Retry() {
		t.Error("want another address, found none")
	}
	for _, v := range []*upstream.Reservation{second, third, fourth} {
		v.Release()
	}
	for range 3 {
		p.reserve(t)
	}
	p.wantOverloaded(t)
}

func TestRetry(t *testing.T) {
	p := newPool(3, 10)
	v := p.reserve(t)
	seen := []int{v.Index()}
	for v.Retry() {
		seen = append(seen, v.Index())
	}
	if !slices.Equal(seen, []int{0, 1, 2}) {
		t.Errorf("want each address once, found %v", seen)
	}
	v.Release()
	// The request no longer counts at its first address.
	var all []int
	for range 3 {
		all = append(all, p.reserve(t).Index())
	}
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2}) {
		t.Errorf("want each address as little loaded as the others, found %v", all)
	}
}

func TestConsecutiveFailuresTakeAnAddressOut(t *testing.T) {
	p := newPool(1, 10)
	p.fail(t, failuresInRow-1)
	v := p.reserve(t)
	v.Succeeded()
	v.Release()
	p.fail(t, failuresInRow-1)
	v = p.reserve(t)
	v.Release() // a client that hung up
	p.wantUp(t, true)
	p.fail(t, 1)
	p.wantUp(t, false)
	p.wantOverloaded(t)
	if len(p.changes) != 1 || p.changes[0] != (upstream.Change{Name: "a0:80", Err: errNoResponse}) {
		t.Errorf("want one report of the change, found %+v", p.changes)
	}
}

func TestRequestsAvoidAnAddressThatIsOut(t *testing.T) {
	p := newPool(2, 10)
	for range failuresInRow {
		v := p.reserve(t)
		if v.Index() == 0 {
			v.Failed(errNoResponse)
			if !v.Retry() {
				t.Fatal("want another address, found none")
			}
		}
		v.Succeeded()
		v.Release()
	}
	for range failuresInRow { // those that began at address 1
		v := p.reserve(t)
		if v.Index() == 0 {
			v.Failed(errNoResponse)
		}
		v.Release()
	}
	p.wantUp(t, false, true)
	for range 3 {
		v := p.reserve(t)
		if v.Index() != 1 || v.Retry() {
			t.Errorf("want address 1 and no other, found %d", v.Index())
		}
	}
}

// TestSingleProbe: after the retry interval one request tries an address that is out, and
// its result counts for the others.
func TestSingleProbe(t *testing.T) {
	tests := []struct {
		name string
		end  func(*upstream.Reservation)
		up   bool
		soon bool // whether the next may try at once
	}{
		{"answered", func(v *upstream.Reservation) { v.Succeeded() }, true, true},
		{"failed", func(v *upstream.Reservation) { v.Failed(errNoResponse) }, false, false},
		{"hung up", func(*upstream.Reservation) {}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(1, 10)
			p.fail(t, failuresInRow)
			p.now = p.now.Add(retryInterval - 1)
			p.wantOverloaded(t)
			p.now = p.now.Add(1)
			v := p.reserve(t)
			p.wantOverloaded(t) // one at a time
			tt.end(v)
			v.Release()
			p.wantUp(t, tt.up)
			if !tt.soon {
				p.wantOverloaded(t)
				p.now = p.now.Add(retryInterval)
			}
			p.reserve(t)
		})
	}
}

// TestLateRelease: a failed probe that is released late does not end the next probe.
func TestLateRelease(t *testing.T) {
	p := newPool(1, 10)
	p.fail(t, failuresInRow)
	p.now = p.now.Add(retryInterval)
	first := p.reserve(t)
	first.Failed(errNoResponse)
	p.now = p.now.Add(retryInterval)
	p.reserve(t)
	first.Release()
	p.wantOverloaded(t)
}

// TestProbeComesFirst: the probe has priority, or a busy pool would never find out that an
// address is back.
func TestProbeComesFirst(t *testing.T) {
	p := newPool(2, 100)
	for p.Up(0) {
		v := p.reserve(t)
		if v.Index() == 0 {
			v.Failed(errNoResponse)
		}
		v.Release()
	}
	p.reserve(t)
	p.now = p.now.Add(retryInterval)
	if v := p.reserve(t); v.Index() != 0 {
		t.Errorf("want the address whose retry interval has passed, found %d", v.Index())
	}
	if v := p.reserve(t); v.Index() != 1 {
		t.Errorf("want the good address, found %d", v.Index())
	}
}

// TestOldResultsAreIgnored: the result of a request that began before the address went out
// does not bring it back, and one that began before it came back does not take it out.
func TestOldResultsAreIgnored(t *testing.T) {
	p := newPool(1, 100)
	var old []*upstream.Reservation
	for range 3 * failuresInRow {
		old = append(old, p.reserve(t))
	}
	p.fail(t, failuresInRow)
	old[0].Succeeded()
	p.wantUp(t, false)
	p.now = p.now.Add(retryInterval)
	probe := p.reserve(t)
	old[1].Failed(errNoResponse)
	old[1].Release()
	p.wantOverloaded(t) // the trial is still one request's
	probe.Succeeded()
	p.wantUp(t, true)
	for _, v := range old[2:] {
		v.Failed(errNoResponse)
		v.Release()
	}
	p.wantUp(t, true)
	if len(p.changes) != 2 || p.changes[1] != (upstream.Change{Name: "a0:80", Up: true}) {
		t.Errorf("want one report of each change, found %+v", p.changes)
	}
}

// TestConcurrentUse: concurrent requests with any results leave no place taken.
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
				if p.Reserve(&v, strconv.Itoa(random.IntN(3)), time.Now()) != nil {
					continue
				}
				switch random.IntN(4) {
				case 0:
					v.Failed(errNoResponse)
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
	holding, _ := p.Clients()
	if taken, _ := p.InFlight(); taken != 0 || holding != 0 {
		t.Errorf("want no place taken and no client that holds one, found %d and %d", taken, holding)
	}
}

// BenchmarkReservation measures the reservation of one forwarded request.
func BenchmarkReservation(b *testing.B) {
	for _, n := range []int{1, 3, 64} {
		p := newPool(n, 100)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.CheckCapacity(mail) != nil {
					b.Fatal("want a place, found none")
				}
				var v upstream.Reservation
				p.Reserve(&v, mail, time.Now())
				v.Succeeded()
				v.Release()
			}
		})
	}
}
