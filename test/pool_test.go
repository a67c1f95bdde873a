package test

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
)

// failuresInRow without an answer put an address out.
const failuresInRow = 5

// before starts a gateway before the services.
func before(t *testing.T, m *master, more environment, services ...*service) *gateway {
	t.Helper()
	var list []string
	for _, s := range services {
		list = append(list, s.url())
	}
	u := &upstream{url: strings.Join(list, ",")}
	return serve(t, u, settings(m.publicKey, u).with(more))
}

// lanes are the two ways through the gateway.
func lanes() map[string]environment {
	return map[string]environment{"fast": {"HTTP_FAST_PATH": "true"}, "net/http": {"HTTP_FAST_PATH": "false"}}
}

// turned waits for the log to say that an address went out or came back.
func (g *gateway) turned(t *testing.T, seen int, message, addr string) {
	t.Helper()
	_, err := g.stderr.lineSince(seen, func(line string) bool {
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

// TestBalance: each request goes to the address with the fewest in flight, and
// its line says to which.
func TestBalance(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	a, b, c := newService(t), newService(t), newService(t)
	g := before(t, m, nil, a, b, c)
	held := dial(t, g.addr)
	held.write(t, get("/held", mail).String()) // the first address is the first in turn
	<-a.asked
	for range 6 {
		answer := send(t, g.addr, get("/events", mail).post("{}"))
		if answer.status != 200 {
			t.Fatalf("want 200, found %d", answer.status)
		}
		if line := g.auditOf(t, answer.header.Get("X-Request-Id")); line.Upstream != b.addr && line.Upstream != c.addr {
			t.Errorf("want one of the two that have nothing to do in the log, found %+v", line)
		}
	}
	for i, want := range []int{1, 3, 3} {
		found := []*service{a, b, c}[i].delivered()
		if len(found) != want {
			t.Errorf("address %d: want %d requests, found %d", i, want, len(found))
		}
		for _, r := range found {
			if r.Host != []*service{a, b, c}[i].addr {
				t.Errorf("want the address's own host, found %q", r.Host)
			}
		}
	}
	a.release()
	if answer := held.read(t, "GET"); answer.status != 200 {
		t.Errorf("want 200, found %d", answer.status)
	}
}

// TestAddressDiesUnderLoad: only what is in flight at an address when it dies may
// fail, no POST arrives twice, and the address gets requests again once it is
// back.
func TestAddressDiesUnderLoad(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail := m.issue(t, subject("mail"))
			dies, stays := newService(t), newService(t)
			g := before(t, m, env, dies, stays)

			const workers = 4
			var next, failed atomic.Int64
			var answered sync.Map // the number of each request that was answered
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					client := &keepAlive{addr: g.addr}
					defer client.close()
					for ctx.Err() == nil {
						time.Sleep(time.Millisecond) // or the log grows faster than it is read
						n := next.Add(1)
						r := get(fmt.Sprintf("/events?n=%d", n), mail)
						if n%2 == 0 {
							r = r.post("{}")
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
			count := func(s *service) int {
				list := s.delivered()
				for _, r := range list {
					arrived[r.URL.Query().Get("n")]++
				}
				return len(list)
			}
			await := func(what string, done func() bool) {
				for deadline := time.Now().Add(patience); !done(); time.Sleep(pause) {
					if time.Now().After(deadline) {
						t.Fatalf("want %s in time", what)
					}
				}
			}
			await("requests at both", func() bool { return count(dies) > 0 && count(stays) > 0 })
			seen := g.stderr.length()
			dies.stop()
			g.turned(t, seen, "upstream is out", dies.addr)
			from := next.Load()
			await("requests at the other", func() bool { return next.Load() > from+100 })
			seen = g.stderr.length()
			dies.start(t)
			g.turned(t, seen, "upstream is back", dies.addr)
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

// TestDeliveredOnce: an address that reads a request and breaks off has heard it;
// nobody else gets it.
func TestDeliveredOnce(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail := m.issue(t, subject("mail"))
			all := []*service{newService(t), newService(t), newService(t)}
			for _, s := range all {
				s.broken.Store(true)
			}
			g := before(t, m, env, all...)
			post := get("/events", mail)
			for i, r := range []request{
				post.post("{}"), post.post(strings.Repeat("a", 100<<10)), post.post(chunked("{}", 1)).with("Transfer-Encoding: chunked"),
				post.post("{}").with("Idempotency-Key: 1"), post,
			} {
				g.wantProblem(t, send(t, g.addr, r), refusal.UpstreamFailed)
				n := 0
				for _, s := range all {
					n += len(s.delivered())
				}
				if n != 1 {
					t.Errorf("request %d: want one delivery, found %d", i, n)
				}
			}
		})
	}
}

// TestDeadUpstream: after some failures nobody waits for it any more, nor does it
// hear of anything; when it is back, one request finds out.
func TestDeadUpstream(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail := m.issue(t, subject("mail"))
			s := newService(t)
			g := before(t, m, env, s)
			s.broken.Store(true)
			for range failuresInRow {
				g.wantProblem(t, send(t, g.addr, get("/events", mail)), refusal.UpstreamFailed)
			}
			g.wantTurnedAway(t, s, get("/events", mail).post("{}"))
			g.turned(t, 0, "upstream is out", s.addr)
			if a := send(t, g.admin, plainGet("/readyz")); a.status != 200 {
				t.Errorf("want the gateway ready, found %d", a.status)
			}

			time.Sleep(time.Second) // as the client was told; later is as good
			g.wantProblem(t, send(t, g.addr, get("/events", mail)), refusal.UpstreamFailed)
			g.wantTurnedAway(t, s, get("/events", mail))
			s.broken.Store(false)
			time.Sleep(time.Second)
			for range 3 {
				if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
					t.Errorf("want 200, found %d %s", a.status, a.body)
				}
			}
			g.turned(t, 0, "upstream is back", s.addr)
		})
	}
}

// wantTurnedAway wants a request refused while the only address is out, and
// nothing at the address. On a machine that is so busy that the address has rested
// already, the request is a trial, and the next one counts.
func (g *gateway) wantTurnedAway(t *testing.T, s *service, r request) {
	t.Helper()
	for range 10 {
		conns := s.conns.Load()
		a := send(t, g.addr, r)
		if a.problem(t).Reason != string(refusal.Overloaded) {
			g.wantProblem(t, a, refusal.UpstreamFailed)
			continue
		}
		g.wantProblem(t, a, refusal.Overloaded)
		if after := a.header.Get("Retry-After"); after != "1" {
			t.Errorf("want another try in a second, found %q", after)
		}
		if n := s.conns.Load() - conns; n != 0 {
			t.Errorf("want nothing at the upstream, found %d connections", n)
		}
		return
	}
	t.Error("want a request turned away, found none")
}

// TestInFlight: one request more than may be in flight is refused before its body
// is read, its connection stays, and the others finish. Who hangs up makes room.
func TestInFlight(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail := m.issue(t, subject("mail"))
			s := newService(t)
			const most = 3
			g := before(t, m, env.with(environment{"MAX_IN_FLIGHT": fmt.Sprint(most)}), s)
			var held []*connection
			for range most {
				c := dial(t, g.addr)
				c.write(t, get("/held", mail).String())
				<-s.asked
				held = append(held, c)
			}
			conns := s.conns.Load()
			refused := dial(t, g.addr)
			for _, r := range []request{get("/events", mail), get("/events", mail).post("{}")} {
				refused.write(t, r.String())
				a := refused.read(t, r.method)
				g.wantProblem(t, a, refusal.Overloaded)
				if after := a.header.Get("Retry-After"); after != "1" {
					t.Errorf("want another try in a second, found %q", after)
				}
			}
			waits := dial(t, g.addr)
			waits.write(t, get("/events", mail).post("").with("Content-Length: 2", "Expect: 100-continue").String())
			g.wantProblem(t, waits.read(t, "POST"), refusal.Overloaded)
			if n := s.conns.Load() - conns; n != 0 {
				t.Errorf("want nothing at the upstream, found %d connections", n)
			}

			_ = held[0].Close()
			g.audit(t, func(l auditLine) bool { return l.Reason == string(refusal.ClientClosed) })
			refused.write(t, get("/events", mail).String())
			if a := refused.read(t, "GET"); a.status != 200 {
				t.Errorf("want room for one, on the same connection, found %d", a.status)
			}
			s.release()
			for _, c := range held[1:] {
				if a := c.read(t, "GET"); a.status != 200 {
					t.Errorf("want the others to finish, found %d", a.status)
				}
			}
		})
	}
}

// TestHealthCheck: an address that says it is unwell gets no requests until it is
// well, and learns nothing of any client.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	sick, well := newService(t), newService(t)
	sick.unwell.Store(true)
	g := before(t, m, environment{"UPSTREAM_HEALTH_PATH": "/healthz"}, sick, well)
	g.turned(t, 0, "upstream is out", sick.addr)
	sick.delivered()
	for range 4 {
		if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
			t.Errorf("want 200, found %d", a.status)
		}
	}
	if n, others := len(sick.delivered()), len(well.delivered()); n != 0 || others != 4 {
		t.Errorf("want all requests at the other address, found %d and %d", n, others)
	}
	sick.unwell.Store(false)
	g.turned(t, 0, "upstream is back", sick.addr)
	sick.mu.Lock()
	defer sick.mu.Unlock()
	for _, r := range sick.heads {
		for name := range r.Header {
			if name != "User-Agent" && name != "Connection" {
				t.Errorf("want no header of a client in a check, found %s", name)
			}
		}
	}
}

// TestDrainWithoutUpstream: a dead upstream under health checks holds no
// shutdown up.
func TestDrainWithoutUpstream(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	s := newService(t)
	s.stop()
	for name, env := range map[string]environment{"probed": nil, "checked": {"UPSTREAM_HEALTH_PATH": "/healthz"}} {
		t.Run(name, func(t *testing.T) {
			g := before(t, m, env, s)
			for range failuresInRow {
				send(t, g.addr, get("/events", mail))
			}
			g.turned(t, 0, "upstream is out", s.addr)
			g.signal(t, terminate)
			g.wantExit(t, 0)
		})
	}
	s.start(t) // for its end
}

// TestTLSUpstreams: a handshake that fails has sent nothing, so the next address
// gets the request, and it is asked for its certificate, too.
func TestTLSUpstreams(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	var requests atomic.Int64
	secure := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && len(body) == 2 && r.Header.Get("X-Client-Id") == "mail" {
			requests.Add(1)
		}
	}))
	t.Cleanup(secure.Close)
	plain := newService(t) // knows no TLS
	roots := writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})), t.TempDir(), "roots.pem")
	u := &upstream{url: "https://" + plain.addr + "," + secure.URL}
	env := settings(m.publicKey, u).with(environment{"SSL_CERT_DIR": filepath.Dir(roots), "SSL_CERT_FILE": roots})
	g := serve(t, u, env)
	for range 4 {
		if a := send(t, g.addr, get("/events", mail).post("{}")); a.status != 200 {
			t.Errorf("want 200, found %d %s", a.status, a.body)
		}
	}
	if n := requests.Load(); n != 4 || len(plain.delivered()) != 0 {
		t.Errorf("want 4 requests at the one with TLS, found %d", n)
	}

	stranger := serve(t, u, env.with(environment{"SSL_CERT_DIR": t.TempDir(), "SSL_CERT_FILE": "/dev/null"}))
	stranger.wantProblem(t, send(t, stranger.addr, get("/events", mail)), refusal.UpstreamFailed)
	if n := requests.Load(); n != 4 {
		t.Errorf("want nothing sent to a server that nobody vouches for, found %d requests", n-4)
	}
}

// TestNobodyListens is the 502 of a single address beside a second that is good.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	dead, good := newService(t), newService(t)
	dead.stop()
	defer dead.start(t)
	for _, tt := range []struct {
		services []*service
		status   int
	}{{[]*service{dead}, 502}, {[]*service{dead, good}, 200}} {
		g := before(t, m, nil, tt.services...)
		for range 2 {
			if a := send(t, g.addr, get("/events", mail).post("{}")); a.status != tt.status {
				t.Errorf("%d addresses: want %d, found %d", len(tt.services), tt.status, a.status)
			}
		}
	}
	if n := len(good.delivered()); n != 2 {
		t.Errorf("want each request once, found %d", n)
	}
	var d net.Dialer
	if _, err := d.DialContext(t.Context(), "tcp", dead.addr); err == nil {
		t.Error("want nobody there")
	}
}
