package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// service responds to checks over pipes, for which the fake clock of synctest waits.
type service struct {
	answer   atomic.Value // string, the status line; empty: connections are refused
	received chan *http.Request
}

func newService(answer string) *service {
	s := &service{received: make(chan *http.Request, 100)}
	s.answer.Store(answer)
	return s
}

func (s *service) dial(context.Context, *url.URL) (net.Conn, error) {
	answer := s.answer.Load().(string)
	if answer == "" {
		return nil, errors.New("refused")
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		r, err := http.ReadRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		s.received <- r
		if answer == "hang" {
			_, _ = io.Copy(io.Discard, theirs)
			return
		}
		_, _ = io.WriteString(theirs, "HTTP/1.1 "+answer+"\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n")
	}()
	return ours, nil
}

// checks returns how many checks the service received since the last call.
func (s *service) checks() (n int) {
	for ; len(s.received) > 0; n++ {
		<-s.received
	}
	return n
}

// checkedPool returns a pool of one address that is checked until the test ends.
func checkedPool(t *testing.T, s *service) (p *Pool, changes *[]Change) {
	t.Helper()
	changes = new([]Change)
	p = New(Options{
		Addresses: []*url.URL{{Scheme: "http", Host: "schedule"}}, MaxInFlight: 10, Now: time.Now,
		Check:   HealthCheck{Path: "/healthz?deep=1", Timeout: time.Minute, Dial: s.dial},
		Changed: func(c Change) { *changes = append(*changes, c) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.RunHealthChecks(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return p, changes
}

// wait advances the clock by d and waits until all goroutines are idle.
func wait(d time.Duration) {
	time.Sleep(d) // on the fake clock
	synctest.Wait()
}

func TestHealthCheckResponses(t *testing.T) {
	for answer, want := range map[string]bool{
		"200 OK": true, "204 No Content": true, "302 Found": true, "399 Odd": true,
		"404 Not Found": false, "500 Internal Server Error": false, "": false, "hang": false,
	} {
		t.Run(answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, changes := checkedPool(t, newService(answer))
				wait(time.Minute)
				if p.Up(0) != want {
					t.Errorf("want the address up: %t, found %t", want, p.Up(0))
				}
				if refused := p.Reserve(new(Reservation), "mail", p.now()); (refused == nil) != want {
					t.Errorf("want a place: %t, found %v", want, refused)
				}
				if !want && (len(*changes) != 1 || !strings.HasPrefix((*changes)[0].Err.Error(), "health check: ")) {
					t.Errorf("want one report of the change, found %+v", *changes)
				}
			})
		})
	}
}

// TestHealthCheckRequest: the request contains nothing of a client's request.
func TestHealthCheckRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("200 OK")
		checkedPool(t, s)
		wait(0)
		r := <-s.received
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		if r.Method != http.MethodGet || r.RequestURI != "/healthz?deep=1" || r.Host != "schedule" || !slices.Equal(names, []string{"Connection", "User-Agent"}) {
			t.Errorf("want GET /healthz?deep=1 without a header of a client, found %s %s %s %v", r.Method, r.RequestURI, r.Host, names)
		}
	})
}

// TestHealthCheckInterval: an address is checked every 5 seconds, and every second after a
// failure. Two consecutive failures take it out and one success brings it back.
func TestHealthCheckInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("200 OK")
		p, changes := checkedPool(t, s)
		wait(14 * time.Second)
		if n := s.checks(); n != 3 {
			t.Errorf("want 3 checks in 14 s, found %d", n)
		}
		s.answer.Store("503 Service Unavailable")
		wait(time.Second)
		if s.checks() != 1 || !p.Up(0) {
			t.Error("want the address up after one failure")
		}
		wait(time.Second)
		if s.checks() != 1 || p.Up(0) {
			t.Error("want the second failure, a second later, to take the address out")
		}
		wait(10 * time.Second)
		if n := s.checks(); n != 10 {
			t.Errorf("want 10 checks in 10 s, found %d", n)
		}
		s.answer.Store("200 OK")
		wait(time.Second)
		if !p.Up(0) || len(*changes) != 2 {
			t.Errorf("want the address back after one good answer, found %+v", *changes)
		}
	})
}

// TestHealthCheckReplacesProbes: with health checks no request tries an address that is out,
// and a check brings it back within a second.
func TestHealthCheckReplacesProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := checkedPool(t, newService("200 OK"))
		wait(100 * time.Millisecond)
		for range failuresInRow {
			var v Reservation
			if refused := p.Reserve(&v, "mail", p.now()); refused != nil {
				t.Fatal(refused)
			}
			v.Failed(errors.New("no answer"))
			v.Release()
		}
		if p.Up(0) {
			t.Fatal("want the address out")
		}
		wait(800 * time.Millisecond)
		if refused := p.Reserve(new(Reservation), "mail", p.now()); refused == nil {
			t.Error("want no request to try")
		}
		wait(100 * time.Millisecond)
		if !p.Up(0) {
			t.Error("want a check to bring the address back")
		}
	})
	// This holds also while no check is sent.
	p := New(Options{
		Addresses: []*url.URL{{Scheme: "http", Host: "schedule"}}, MaxInFlight: 10,
		Now: func() time.Time { return time.Now().Add(time.Hour) }, Check: HealthCheck{Path: "/", Timeout: time.Second},
	})
	p.setOut(p.addresses[0], true)
	p.addresses[0].retryAt = time.Time{}
	if refused := p.Reserve(new(Reservation), "mail", p.now()); refused == nil {
		t.Error("want no request to the address, however long it is out")
	}
}

// TestRunHealthChecksEnds: RunHealthChecks returns when its context is done, even during a
// check, whose result is ignored. Without a path it returns at once.
func TestRunHealthChecksEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("hang")
		p := New(Options{
			Addresses: []*url.URL{{Scheme: "http", Host: "schedule"}}, MaxInFlight: 1, Now: time.Now,
			Check: HealthCheck{Path: "/", Timeout: time.Minute, Dial: s.dial},
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-s.received
			cancel()
		}()
		p.RunHealthChecks(ctx)
		if p.addresses[0].failedChecks != 0 {
			t.Error("want no report of an interrupted check")
		}
	})
	New(Options{Addresses: []*url.URL{{Scheme: "http", Host: "schedule"}}, MaxInFlight: 1, Now: time.Now}).RunHealthChecks(t.Context())
}
