package e2e

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	dir, err := os.MkdirTemp("", "s") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &unixService{path: filepath.Join(dir, "service.sock"), requests: make(chan string, 100)}
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
	withBothHTTP(t, func(t *testing.T, env harness.Env) {
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
