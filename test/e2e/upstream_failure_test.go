package e2e

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// numberedLoad sends numbered requests from several clients until it is stopped, GET with
// odd numbers and POST with even ones.
type numberedLoad struct {
	last      atomic.Int64 // number of the last request
	failed    atomic.Int64 // requests refused with upstream_failed
	succeeded sync.Map     // numbers of the requests with status 200, as strings
	delivered map[string]int
	stop      context.CancelFunc
	clients   sync.WaitGroup
}

func startNumberedLoad(t *testing.T, addr string, as harness.Certificate, clients int) *numberedLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &numberedLoad{delivered: map[string]int{}, stop: cancel}
	for range clients {
		l.clients.Go(func() { l.send(ctx, t, addr, as) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *numberedLoad) end() {
	l.stop()
	l.clients.Wait()
}

// send is one client. It ends with the first unexpected response.
func (l *numberedLoad) send(ctx context.Context, t *testing.T, addr string, as harness.Certificate) {
	t.Helper()
	client := &keepAlive{addr: addr}
	defer client.close()
	for ctx.Err() == nil {
		time.Sleep(time.Millisecond) // or the log grows faster than it is read
		n := l.last.Add(1)
		r := harness.Get(fmt.Sprintf("/events?n=%d", n), as)
		if n%2 == 0 {
			r = r.Post("{}")
		}
		status, reason, err := client.do(ctx, r.String())
		switch {
		case err == nil && status == 200:
			l.succeeded.Store(fmt.Sprint(n), true)
		case err == nil && reason == string(refusal.UpstreamFailed):
			l.failed.Add(1)
		default:
			t.Errorf("request %d: want 200, or 502 while the address fails, found %d %s %v", n, status, reason, err)
			return
		}
	}
}

// count adds the requests that a service has received since the last call, and returns
// their number.
func (l *numberedLoad) count(s *harness.RestartableService) int {
	requests := s.Delivered()
	for _, r := range requests {
		l.delivered[r.URL.Query().Get("n")]++
	}
	return len(requests)
}

// wantDeliveries checks that each POST was delivered once, a GET at most twice, and each
// request with a response at least once.
func (l *numberedLoad) wantDeliveries(t *testing.T) {
	t.Helper()
	for n, times := range l.delivered {
		if number, err := strconv.Atoi(n); err != nil || number%2 == 0 && times != 1 || times > 2 {
			t.Errorf("request %s: want a POST delivered once, and a GET twice at most, found %d times", n, times)
		}
	}
	l.succeeded.Range(func(n, _ any) bool {
		if l.delivered[n.(string)] == 0 {
			t.Errorf("request %s has a response and was never delivered", n)
		}
		return true
	})
}

// waitUntil polls a condition with a deadline.
func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); !done(); time.Sleep(harness.PollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("want %s in time", what)
		}
	}
}

// TestUpstreamAddressFailsUnderLoad stops an upstream address under load. Only requests in
// flight there may fail, no POST arrives twice, and the address is used again when it is
// back.
func TestUpstreamAddressFailsUnderLoad(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const clients = 4
			m := harness.NewMasterKey(t, "p256")
			failing, healthy := harness.NewRestartableService(t), harness.NewRestartableService(t)
			g := startWithUpstreams(t, m, env, failing, healthy)
			l := startNumberedLoad(t, g.Addr, m.Issue(t, harness.OU("mail")), clients)
			waitUntil(t, "requests at both addresses", func() bool { return l.count(failing) > 0 && l.count(healthy) > 0 })

			seen := g.Stderr.Len()
			failing.Stop()
			waitUpstreamState(t, g, seen, "upstream is out", failing.Addr)
			before := l.last.Load()
			waitUntil(t, "requests at the other address", func() bool { return l.last.Load() > before+100 })

			seen = g.Stderr.Len()
			failing.Start(t)
			waitUpstreamState(t, g, seen, "upstream is back", failing.Addr)
			l.count(failing)
			again := 0
			waitUntil(t, "requests at both addresses again", func() bool {
				again += l.count(failing)
				return again > 10
			})

			l.end()
			l.count(failing)
			l.count(healthy)
			if n := l.failed.Load(); n > clients {
				t.Errorf("want at most the %d requests in flight to fail, found %d", clients, n)
			}
			l.wantDeliveries(t)
		})
	}
}
