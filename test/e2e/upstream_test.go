package e2e

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// startWithUpstreams starts a gateway whose upstream addresses are the services.
func startWithUpstreams(t *testing.T, m *harness.MasterKey, more harness.Env, services ...*harness.RestartableService) *harness.Gateway {
	t.Helper()
	var list []string
	for _, s := range services {
		list = append(list, s.URL())
	}
	u := &harness.Upstream{URL: strings.Join(list, ",")}
	return harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(more))
}

// bothHTTP returns the settings of the fast path and of net/http, by their names.
func bothHTTP() map[string]harness.Env {
	return map[string]harness.Env{"fast path": {"HTTP_FAST_PATH": "true"}, "net/http": {"HTTP_FAST_PATH": "false"}}
}

// TestUpstreamBalancing checks that each request goes to the address with the fewest
// requests in flight, and that the log names the address.
func TestUpstreamBalancing(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	a, b, c := harness.NewRestartableService(t), harness.NewRestartableService(t), harness.NewRestartableService(t)
	g := startWithUpstreams(t, m, nil, a, b, c)
	held := harness.Dial(t, g.Addr)
	held.Send(t, harness.Get("/held", mail).String()) // the first address gets the first request
	<-a.Arrived
	for range 6 {
		answer := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("{}"))
		if answer.Status != 200 {
			t.Fatalf("want 200, found %d", answer.Status)
		}
		if line := g.AuditLineOf(t, answer.Header.Get("X-Request-Id")); line.Upstream != b.Addr && line.Upstream != c.Addr {
			t.Errorf("want one of the two idle addresses in the log, found %+v", line)
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

// TestRequestIsDeliveredOnce checks that a request is not sent again when an upstream
// closes the connection after it has read the request.
func TestRequestIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			all := []*harness.RestartableService{harness.NewRestartableService(t), harness.NewRestartableService(t), harness.NewRestartableService(t)}
			for _, s := range all {
				s.Broken.Store(true)
			}
			g := startWithUpstreams(t, m, env, all...)
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
	plain := harness.NewRestartableService(t) // without TLS
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
		t.Errorf("want 4 requests at the address with TLS, found %d", n)
	}

	untrusting := harness.StartGateway(t, u, env.With(harness.Env{"SSL_CERT_DIR": t.TempDir(), "SSL_CERT_FILE": "/dev/null"}))
	untrusting.WantProblem(t, harness.Send(t, untrusting.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
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
	closed, open := harness.NewRestartableService(t), harness.NewRestartableService(t)
	closed.Stop()
	defer closed.Start(t)
	for _, tt := range []struct {
		services []*harness.RestartableService
		status   int
	}{{[]*harness.RestartableService{closed}, 502}, {[]*harness.RestartableService{closed, open}, 200}} {
		g := startWithUpstreams(t, m, nil, tt.services...)
		for range 2 {
			if a := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("{}")); a.Status != tt.status {
				t.Errorf("%d addresses: want %d, found %d", len(tt.services), tt.status, a.Status)
			}
		}
	}
	if n := len(open.Delivered()); n != 2 {
		t.Errorf("want each request once, found %d", n)
	}
	var d net.Dialer
	if _, err := d.DialContext(t.Context(), "tcp", closed.Addr); err == nil {
		t.Error("want no listener at the first address")
	}
}
