package e2e

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// failuresInRow is the number of consecutive failures that open an address's circuit.
const failuresInRow = 5

// before starts a gateway before the services.
func before(t *testing.T, m *harness.MasterKey, more harness.Env, services ...*harness.RestartableService) *harness.Gateway {
	t.Helper()
	var list []string
	for _, s := range services {
		list = append(list, s.URL())
	}
	u := &harness.Upstream{URL: strings.Join(list, ",")}
	return harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(more))
}

// lanes are the two ways through the gateway.
func lanes() map[string]harness.Env {
	return map[string]harness.Env{"fast": {"HTTP_FAST_PATH": "true"}, "net/http": {"HTTP_FAST_PATH": "false"}}
}

// waitUpstreamState waits for the log line about the state of an address.
func waitUpstreamState(t *testing.T, g *harness.Gateway, seen int, message, addr string) {
	t.Helper()
	_, err := g.Stderr.WaitLineSince(seen, func(line string) bool {
		var l struct{ Msg, Upstream string }
		return json.Unmarshal([]byte(line), &l) == nil && l.Msg == message && l.Upstream == addr
	})
	if err != nil {
		t.Fatalf("%s: want %q in the log: %v", addr, message, err)
	}
	want := map[string]float64{"upstream is out": 0, "upstream is back": 1}[message]
	if found := counter(metrics(t, g)["certgate_upstream_up"], map[string]string{"upstream": addr}); found != want {
		t.Errorf("%s: want certgate_upstream_up %v, found %v", addr, want, found)
	}
}

// TestUpstreamBalancing checks that each request goes to the address with the fewest
// requests in flight, and that the log names the address.
func TestUpstreamBalancing(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	a, b, c := harness.NewRestartableService(t), harness.NewRestartableService(t), harness.NewRestartableService(t)
	g := before(t, m, nil, a, b, c)
	held := harness.Dial(t, g.Addr)
	held.Send(t, harness.Get("/held", mail).String()) // the first address is the first in turn
	<-a.Arrived
	for range 6 {
		answer := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("{}"))
		if answer.Status != 200 {
			t.Fatalf("want 200, found %d", answer.Status)
		}
		if line := g.AuditLineOf(t, answer.Header.Get("X-Request-Id")); line.Upstream != b.Addr && line.Upstream != c.Addr {
			t.Errorf("want one of the two that have nothing to do in the log, found %+v", line)
		}
	}
	for i, want := range []int{1, 3, 3} {
		found := []*harness.RestartableService{a, b, c}[i].Delivered()
		if len(found) != want {
			t.Errorf("address %d: want %d requests, found %d", i, want, len(found))
		}
		for _, r := range found {
			if r.Host != []*harness.RestartableService{a, b, c}[i].Addr {
				t.Errorf("want the address's own host, found %q", r.Host)
			}
		}
	}
	a.Release()
	if answer := held.ReadResponse(t, "GET"); answer.Status != 200 {
		t.Errorf("want 200, found %d", answer.Status)
	}
}

// TestUpstreamAddressFailsUnderLoad stops an upstream address under load. Only requests in
// flight there may fail, no POST arrives twice, and the address is used again when it is
// back.
func TestUpstreamAddressFailsUnderLoad(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			dies, stays := harness.NewRestartableService(t), harness.NewRestartableService(t)
			g := before(t, m, env, dies, stays)

			const workers = 4
			var next, failed atomic.Int64
			var answered sync.Map // the number of each request that was answered
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					client := &keepAlive{addr: g.Addr}
					defer client.close()
					for ctx.Err() == nil {
						time.Sleep(time.Millisecond) // or the log grows faster than it is read
						n := next.Add(1)
						r := harness.Get(fmt.Sprintf("/events?n=%d", n), mail)
						if n%2 == 0 {
							r = r.Post("{}")
						}
						status, reason, err := client.do(ctx, r.String())
						switch {
						case err == nil && status == 200:
							answered.Store(fmt.Sprint(n), true)
						case err == nil && reason == string(refusal.UpstreamFailed):
							failed.Add(1)
						default:
							t.Errorf("request %d: want 200, or 502 at the death, found %d %s %v", n, status, reason, err)
							return
						}
					}
				})
			}
			arrived := map[string]int{}
			count := func(s *harness.RestartableService) int {
				list := s.Delivered()
				for _, r := range list {
					arrived[r.URL.Query().Get("n")]++
				}
				return len(list)
			}
			await := func(what string, done func() bool) {
				for deadline := time.Now().Add(harness.Timeout); !done(); time.Sleep(harness.PollInterval) {
					if time.Now().After(deadline) {
						t.Fatalf("want %s in time", what)
					}
				}
			}
			await("requests at both", func() bool { return count(dies) > 0 && count(stays) > 0 })
			seen := g.Stderr.Len()
			dies.Stop()
			waitUpstreamState(t, g, seen, "upstream is out", dies.Addr)
			from := next.Load()
			await("requests at the other", func() bool { return next.Load() > from+100 })
			seen = g.Stderr.Len()
			dies.Start(t)
			waitUpstreamState(t, g, seen, "upstream is back", dies.Addr)
			count(dies)
			again := 0
			await("requests at both again", func() bool {
				again += count(dies)
				return again > 10
			})
			stop()
			all.Wait()

			count(dies)
			count(stays)
			if n := failed.Load(); n > workers {
				t.Errorf("want at most the %d requests in flight to fail, found %d", workers, n)
			}
			for n, times := range arrived {
				if number, err := strconv.Atoi(n); err != nil || number%2 == 0 && times != 1 || times > 2 {
					t.Errorf("request %s: want a POST delivered once, and a GET twice at most, found %d times", n, times)
				}
			}
			answered.Range(func(n, _ any) bool {
				if arrived[n.(string)] == 0 {
					t.Errorf("request %s was answered and never delivered", n)
				}
				return true
			})
		})
	}
}

// TestRequestIsDeliveredOnce checks that a request is not sent again when an upstream
// closes the connection after it has read the request.
func TestRequestIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			all := []*harness.RestartableService{harness.NewRestartableService(t), harness.NewRestartableService(t), harness.NewRestartableService(t)}
			for _, s := range all {
				s.Broken.Store(true)
			}
			g := before(t, m, env, all...)
			post := harness.Get("/events", mail)
			for i, r := range []harness.Request{
				post.Post("{}"), post.Post(strings.Repeat("a", 100<<10)), post.Post(harness.Chunked("{}", 1)).With("Transfer-Encoding: chunked"),
				post.Post("{}").With("Idempotency-Key: 1"), post,
			} {
				g.WantProblem(t, harness.Send(t, g.Addr, r), refusal.UpstreamFailed)
				n := 0
				for _, s := range all {
					n += len(s.Delivered())
				}
				if n != 1 {
					t.Errorf("request %d: want one delivery, found %d", i, n)
				}
			}
		})
	}
}

// TestCircuitBreaker checks that a failing upstream gets no requests until one probe
// succeeds.
func TestCircuitBreaker(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			s := harness.NewRestartableService(t)
			g := before(t, m, env, s)
			s.Broken.Store(true)
			for range failuresInRow {
				g.WantProblem(t, harness.Send(t, g.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
			}
			wantTurnedAway(t, g, s, harness.Get("/events", mail).Post("{}"))
			waitUpstreamState(t, g, 0, "upstream is out", s.Addr)
			if a := g.SendAdmin(t, harness.PlainGet("/readyz")); a.Status != 200 {
				t.Errorf("want the gateway ready, found %d", a.Status)
			}

			time.Sleep(time.Second) // Retry-After; a longer wait is valid, too
			g.WantProblem(t, harness.Send(t, g.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
			wantTurnedAway(t, g, s, harness.Get("/events", mail))
			s.Broken.Store(false)
			time.Sleep(time.Second)
			for range 3 {
				if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
					t.Errorf("want 200, found %d %s", a.Status, a.Body)
				}
			}
			waitUpstreamState(t, g, 0, "upstream is back", s.Addr)
		})
	}
}

// wantTurnedAway wants a request refused while the only address is out, and
// nothing at the address. On a machine that is so busy that the address has rested
// already, the request is a trial, and the next one counts.
func wantTurnedAway(t *testing.T, g *harness.Gateway, s *harness.RestartableService, r harness.Request) {
	t.Helper()
	for range 10 {
		conns := s.Accepted.Load()
		a := harness.Send(t, g.Addr, r)
		if a.Problem(t).Reason != string(refusal.Overloaded) {
			g.WantProblem(t, a, refusal.UpstreamFailed)
			continue
		}
		g.WantProblem(t, a, refusal.Overloaded)
		if after := a.Header.Get("Retry-After"); after != "1" {
			t.Errorf("want another try in a second, found %q", after)
		}
		if n := s.Accepted.Load() - conns; n != 0 {
			t.Errorf("want nothing at the upstream, found %d connections", n)
		}
		return
	}
	t.Error("want a request turned away, found none")
}

// TestInFlightLimit checks that a request over MAX_IN_FLIGHT is refused before its body is
// read, and that a client that disconnects makes room.
func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			s := harness.NewRestartableService(t)
			const most = 3
			g := before(t, m, env.With(harness.Env{"MAX_IN_FLIGHT": fmt.Sprint(most)}), s)
			var held []*harness.Conn
			for range most {
				c := harness.Dial(t, g.Addr)
				c.Send(t, harness.Get("/held", mail).String())
				<-s.Arrived
				held = append(held, c)
			}
			conns := s.Accepted.Load()
			refused := harness.Dial(t, g.Addr)
			for _, r := range []harness.Request{harness.Get("/events", mail), harness.Get("/events", mail).Post("{}")} {
				refused.Send(t, r.String())
				a := refused.ReadResponse(t, r.Method)
				g.WantProblem(t, a, refusal.Overloaded)
				if after := a.Header.Get("Retry-After"); after != "1" {
					t.Errorf("want another try in a second, found %q", after)
				}
			}
			waits := harness.Dial(t, g.Addr)
			waits.Send(t, harness.Get("/events", mail).Post("").With("Content-Length: 2", "Expect: 100-continue").String())
			g.WantProblem(t, waits.ReadResponse(t, "POST"), refusal.Overloaded)
			if n := s.Accepted.Load() - conns; n != 0 {
				t.Errorf("want nothing at the upstream, found %d connections", n)
			}

			_ = held[0].Close()
			g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Reason == string(refusal.ClientClosed) })
			refused.Send(t, harness.Get("/events", mail).String())
			if a := refused.ReadResponse(t, "GET"); a.Status != 200 {
				t.Errorf("want room for one, on the same connection, found %d", a.Status)
			}
			s.Release()
			for _, c := range held[1:] {
				if a := c.ReadResponse(t, "GET"); a.Status != 200 {
					t.Errorf("want the others to finish, found %d", a.Status)
				}
			}
		})
	}
}

// TestUpstreamHealthCheck checks that an unhealthy address gets no requests, and that
// health checks contain nothing of any client.
func TestUpstreamHealthCheck(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	sick, well := harness.NewRestartableService(t), harness.NewRestartableService(t)
	sick.Unhealthy.Store(true)
	g := before(t, m, harness.Env{"UPSTREAM_HEALTH_PATH": "/healthz"}, sick, well)
	waitUpstreamState(t, g, 0, "upstream is out", sick.Addr)
	sick.Delivered()
	for range 4 {
		if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
			t.Errorf("want 200, found %d", a.Status)
		}
	}
	if n, others := len(sick.Delivered()), len(well.Delivered()); n != 0 || others != 4 {
		t.Errorf("want all requests at the other address, found %d and %d", n, others)
	}
	sick.Unhealthy.Store(false)
	waitUpstreamState(t, g, 0, "upstream is back", sick.Addr)
	sick.Mu.Lock()
	defer sick.Mu.Unlock()
	for _, r := range sick.Requests {
		for name := range r.Header {
			if name != "User-Agent" && name != "Connection" {
				t.Errorf("want no header of a client in a check, found %s", name)
			}
		}
	}
}

// TestDrainWithFailingUpstream checks that a failing upstream under health checks delays no
// shutdown.
func TestDrainWithFailingUpstream(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	s := harness.NewRestartableService(t)
	s.Stop()
	for name, env := range map[string]harness.Env{"probed": nil, "checked": {"UPSTREAM_HEALTH_PATH": "/healthz"}} {
		t.Run(name, func(t *testing.T) {
			g := before(t, m, env, s)
			for range failuresInRow {
				harness.Send(t, g.Addr, harness.Get("/events", mail))
			}
			waitUpstreamState(t, g, 0, "upstream is out", s.Addr)
			g.Signal(t, harness.Terminate)
			g.WantExit(t, 0)
		})
	}
	s.Start(t) // for its end
}

// TestTLSUpstreams checks that a failed TLS handshake moves the request to the next
// address, whose certificate is verified, too.
func TestTLSUpstreams(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	var requests atomic.Int64
	secure := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && len(body) == 2 && r.Header.Get("X-Client-Id") == "mail" {
			requests.Add(1)
		}
	}))
	t.Cleanup(secure.Close)
	plain := harness.NewRestartableService(t) // knows no TLS
	roots := harness.WriteFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})), t.TempDir(), "roots.pem")
	u := &harness.Upstream{URL: "https://" + plain.Addr + "," + secure.URL}
	env := harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"SSL_CERT_DIR": filepath.Dir(roots), "SSL_CERT_FILE": roots})
	g := harness.StartGateway(t, u, env)
	for range 4 {
		if a := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("{}")); a.Status != 200 {
			t.Errorf("want 200, found %d %s", a.Status, a.Body)
		}
	}
	if n := requests.Load(); n != 4 || len(plain.Delivered()) != 0 {
		t.Errorf("want 4 requests at the one with TLS, found %d", n)
	}

	otherKey := harness.StartGateway(t, u, env.With(harness.Env{"SSL_CERT_DIR": t.TempDir(), "SSL_CERT_FILE": "/dev/null"}))
	otherKey.WantProblem(t, harness.Send(t, otherKey.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
	if n := requests.Load(); n != 4 {
		t.Errorf("want nothing sent to a server with an untrusted certificate, found %d requests", n-4)
	}
}

// TestOneUpstreamAddressRefuses checks that requests go to the second address when no
// process listens on the first.
func TestOneUpstreamAddressRefuses(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	dead, good := harness.NewRestartableService(t), harness.NewRestartableService(t)
	dead.Stop()
	defer dead.Start(t)
	for _, tt := range []struct {
		services []*harness.RestartableService
		status   int
	}{{[]*harness.RestartableService{dead}, 502}, {[]*harness.RestartableService{dead, good}, 200}} {
		g := before(t, m, nil, tt.services...)
		for range 2 {
			if a := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("{}")); a.Status != tt.status {
				t.Errorf("%d addresses: want %d, found %d", len(tt.services), tt.status, a.Status)
			}
		}
	}
	if n := len(good.Delivered()); n != 2 {
		t.Errorf("want each request once, found %d", n)
	}
	var d net.Dialer
	if _, err := d.DialContext(t.Context(), "tcp", dead.Addr); err == nil {
		t.Error("want no listener there")
	}
}
