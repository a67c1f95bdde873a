package e2e

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/test/harness"
)

// unixService is a service on a Unix socket. Each request is sent to requests as its Host and
// its client.
type unixService struct {
	path     string
	requests chan string
	server   *http.Server
}

func newUnixService(t *testing.T) *unixService {
	t.Helper()
	s := &unixService{path: filepath.Join(t.TempDir(), "s"), requests: make(chan string, 1000)}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

// start listens on the path of the service.
func (s *unixService) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		s.requests <- r.Host + " " + r.Header.Get("X-Client-Id")
	})}
	go func() { _ = server.Serve(l) }()
	s.server = server
}

// stop closes all connections and removes the socket.
func (s *unixService) stop() { _ = s.server.Close() }

// TestUpstreamUnix checks a service on a Unix socket, with check --probe and with a restart
// of the service on the same path.
func TestUpstreamUnix(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Helper()
			s := newUnixService(t)
			u := &harness.Upstream{URL: "unix:" + s.path}
			env = harness.GatewayEnv(m.PublicKey, u).With(env)
			g := harness.StartGateway(t, u, env)
			want := func(status int) {
				t.Helper()
				for _, r := range []harness.Request{harness.Get("/events", mail), harness.Get("/events", mail).Post(`{}`)} {
					if a := harness.Send(t, g.Addr, r); a.Status != status {
						t.Errorf("%s: want %d, found %d", r.Method, status, a.Status)
					}
					if status != http.StatusOK {
						continue
					}
					if found := <-s.requests; found != "localhost mail" {
						t.Errorf("want the Host localhost and the client mail, found %q", found)
					}
				}
			}
			want(http.StatusOK)
			want(http.StatusOK)
			wantProbe(t, env, "")
			if found := <-s.requests; found != "localhost " {
				t.Errorf("want a probe without a client, found %q", found)
			}
			s.stop()
			want(http.StatusBadGateway)
			wantProbe(t, env, "no such file or directory")
			s.start(t)
			want(http.StatusOK)
		})
	}
}

// TestUpstreamUnixHealth checks that health checks take a socket out and bring it back, and
// that requests go to the other socket meanwhile.
func TestUpstreamUnixHealth(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	one, two := newUnixService(t), newUnixService(t)
	u := &harness.Upstream{URL: "unix:" + one.path + ",unix:" + two.path}
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"UPSTREAM_HEALTH_PATH": "/healthz"}))
	want := func(upstreams ...string) {
		t.Helper()
		for range 4 {
			a := harness.Send(t, g.Addr, harness.Get("/events", mail))
			line := g.AuditLineOf(t, a.Header.Get("X-Request-Id"))
			if a.Status != http.StatusOK || !slices.Contains(upstreams, line.Upstream) {
				t.Errorf("want 200 from one of %q, found %d from %q", upstreams, a.Status, line.Upstream)
			}
		}
	}
	first, second := "unix:"+one.path, "unix:"+two.path
	want(first, second)
	seen := g.Stderr.Len()
	one.stop()
	waitUpstreamState(t, g, seen, "upstream is out", first)
	want(second)
	seen = g.Stderr.Len()
	one.start(t)
	waitUpstreamState(t, g, seen, "upstream is back", first)
	want(first, second)
}
