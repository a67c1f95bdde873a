package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

func TestRun(t *testing.T) {
	r := start(t, load(t, hello(t), nil))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	want(t, r, r.Addr(), "/other", http.StatusForbidden, "access_denied")
	want(t, r, r.Addr(), "/healthz", http.StatusOK, "ok")
	want(t, r, r.AdminAddr(), "/healthz", http.StatusOK, "ok")
	want(t, r, r.AdminAddr(), "/readyz", http.StatusOK, "ready")
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_client_requests_total{client="mail",rule="events"} 1`)
	want(t, r, r.AdminAddr(), "/loglevel", http.StatusOK, "info")
	r.client.CloseIdleConnections()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if !isFree(r.Addr().String()) || !isFree(r.AdminAddr().String()) {
		t.Error("want both addresses free after Run")
	}
	for _, text := range []string{`"trusted key"`, `"listening"`, r.Addr().String(), r.AdminAddr().String(), `"draining"`} {
		if !strings.Contains(r.log.String(), text) {
			t.Errorf("want %s in the log, found %s", text, r.log)
		}
	}
}

// TestHealthChecksEnd checks that health checks of the upstream end with the gateway.
func TestHealthChecksEnd(t *testing.T) {
	checked := make(chan struct{}, 100)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			checked <- struct{}{}
		}
	}))
	defer service.Close()
	r := start(t, load(t, service.URL, map[string]string{"UPSTREAM_HEALTH_PATH": "/healthz"}))
	<-checked
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_upstream_up{upstream="`+strings.TrimPrefix(service.URL, "http://")+`"} 1`)
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("want a clean end, found %v", err)
	}
}

func TestWithoutAdmin(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"ADMIN_ADDR": ""}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	if a := r.AdminAddr(); a != nil {
		t.Errorf("admin address %v, want none", a)
	}
	want(t, r, r.Addr(), "/metrics", http.StatusForbidden, "access_denied")
	r.client.CloseIdleConnections()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

type result struct {
	status int
	body   string
	err    error
}

// TestDrain checks that a request in flight is finished while the gateway drains.
func TestDrain(t *testing.T) {
	addr, arrived, release := blockingUpstream(t)
	r := start(t, load(t, addr, nil))
	inFlight := make(chan result, 1)
	go func() {
		s, body, err := r.get(t, r.Addr(), "/events")
		inFlight <- result{s, body, err}
	}()
	<-arrived
	r.cancel()
	eventually(t, "not ready", func() bool {
		s, body, err := r.get(t, r.AdminAddr(), "/readyz")
		return err == nil && s == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	eventually(t, "new connections refused", func() bool {
		c, err := net.Dial("tcp", r.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-r.done:
		t.Fatalf("Run ended with a request in flight: %v", err)
	default:
	}
	release()
	if have := <-inFlight; have.err != nil || have.status != http.StatusOK || have.body != "late" {
		t.Errorf("request in flight: %+v, want its response", have)
	}
	r.client.CloseIdleConnections()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	addr, arrived, release := blockingUpstream(t)
	defer release()
	r := start(t, load(t, addr, map[string]string{"SHUTDOWN_TIMEOUT": "50ms"}))
	inFlight := make(chan result, 1)
	go func() {
		s, body, err := r.get(t, r.Addr(), "/events")
		inFlight <- result{s, body, err}
	}()
	<-arrived
	r.cancel()
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "SHUTDOWN_TIMEOUT") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v, want an error that names SHUTDOWN_TIMEOUT", err)
	}
	var timeout net.Error
	if have := <-inFlight; have.err == nil || errors.As(have.err, &timeout) && timeout.Timeout() {
		t.Errorf("request in flight: %+v, want it cut by the gateway", have)
	}
}

func TestCancelledBeforeRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 { // to provoke a race
		g, _, err := build(t, load(t, "http://127.0.0.1:1", map[string]string{
			"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1",
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		if !isFree(g.Addr().String()) || !isFree(g.AuthzAddr().String()) || !isFree(g.AuthzGRPCAddr().String()) || !isFree(g.AdminAddr().String()) {
			t.Fatal("want all addresses free after Run")
		}
	}
}

func TestBusyAddress(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	spare := freeAddress(t)
	tests := []struct {
		variable string
		set      map[string]string
	}{
		{"LISTEN_ADDR", map[string]string{"LISTEN_ADDR": busy.Addr().String()}},
		{"AUTHZ_ADDR", map[string]string{"LISTEN_ADDR": spare, "AUTHZ_ADDR": busy.Addr().String(), "AUTHZ_PEERS": "127.0.0.1"}},
		{"AUTHZ_GRPC_ADDR", map[string]string{"LISTEN_ADDR": spare, "AUTHZ_GRPC_ADDR": busy.Addr().String(), "AUTHZ_PEERS": "127.0.0.1"}},
		{"ADMIN_ADDR", map[string]string{"LISTEN_ADDR": spare, "ADMIN_ADDR": busy.Addr().String()}},
	}
	for _, tt := range tests {
		t.Run(tt.variable, func(t *testing.T) {
			_, _, err := build(t, load(t, "http://127.0.0.1:1", tt.set))
			if err == nil || !strings.HasPrefix(err.Error(), tt.variable+": ") || !strings.Contains(err.Error(), busy.Addr().String()) {
				t.Errorf("New: %v, want an error that names %s and the address", err, tt.variable)
			}
			if !isFree(spare) {
				t.Error("want the other address free again")
			}
		})
	}
}

// TestListenerFails checks that the failure of a listener ends the gateway with an error.
func TestListenerFails(t *testing.T) {
	for _, name := range []string{"public", "operator's"} {
		r := start(t, load(t, hello(t), nil))
		want(t, r, r.AdminAddr(), "/readyz", http.StatusOK, "ready")
		r.client.CloseIdleConnections()
		broken := r.public.listener
		if name != "public" {
			broken = r.admin.listener
		}
		broken.Close()
		if err := <-r.done; err == nil || !strings.Contains(err.Error(), broken.Addr().String()) {
			t.Errorf("%s: Run: %v, want an error that names the listener", name, err)
		}
		if !isFree(r.Addr().String()) || !isFree(r.AdminAddr().String()) {
			t.Errorf("%s: want both addresses free after Run", name)
		}
	}
}

// TestTimeouts checks that net/http gets the configured timeouts.
func TestTimeouts(t *testing.T) {
	c := load(t, "http://127.0.0.1:1", map[string]string{"READ_HEADER_TIMEOUT": "11s", "READ_TIMEOUT": "22s", "IDLE_TIMEOUT": "33s"})
	r := start(t, c)
	s := r.newServer(nil) // as for the public and the admin endpoint
	have := [3]time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout}
	if want := [3]time.Duration{11 * time.Second, 22 * time.Second, 33 * time.Second}; have != want {
		t.Errorf("timeouts %v, want %v", have, want)
	}
}

// TestErrorLog checks that messages of net/http are in the log.
func TestErrorLog(t *testing.T) {
	r := start(t, load(t, hello(t), nil))
	r.newServer(nil).ErrorLog.Print("accept error")
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, `"msg":"accept error"`) {
			return
		}
	}
	t.Errorf("log %s: want the message as a warning", r.log)
}

// TestRawRequests checks that the public server has the listener, protocols and limits of
// the configuration.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	w := newCredentials(t)
	tests := []struct{ name, request, want string }{
		{"two lengths", "POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "request_ambiguous"},
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: h\r\nX-SSL-Auth: " + w.header + "\r\n\r\n", "path_ambiguous"},
		{"HTTP/2 in cleartext", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "path_ambiguous"},
		{"a credential over the limit", "GET /events HTTP/1.1\r\nHost: h\r\nX-SSL-Auth: " + strings.Repeat("M", 2049) + "\r\n\r\n", "credential_too_large"},
		{"headers over the limit", "GET /events HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
	}
	r := start(t, load(t, hello(t), map[string]string{"MAX_CREDENTIAL_BYTES": "2KiB"}))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := rawhttp.Dial(t, r.Addr().String())
			c.Send(tt.request)
			// The server closes each of these connections.
			have, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(string(have), tt.want) {
				t.Errorf("answer %q, %v: want %q and the end", have, err, tt.want)
			}
		})
	}
}

// TestUnfinishedRequests checks that each timeout of the configuration ends a request
// that the client does not finish.
func TestUnfinishedRequests(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for _, tt := range []struct{ name, timeout, request, want string }{
		{"a header that does not end", "READ_HEADER_TIMEOUT", "GET /events HTTP/1.1\r\nHost: h\r\n", ""},
		{"a body that does not arrive", "READ_TIMEOUT", "POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", "credential_missing"},
		{"no request", "IDLE_TIMEOUT", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "ok\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, load(t, hello(t), map[string]string{tt.timeout: "3s"}))
			c := rawhttp.Dial(t, r.Addr().String())
			c.Send(tt.request)
			have, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(string(have), tt.want) || tt.want == "" && len(have) > 0 {
				t.Errorf("answer %q, %v: want %q and the end", have, err, tt.want)
			}
		})
	}
}

// TestBackgroundPanic checks that a panic of a goroutine of Run is logged and returned as
// an error, without output of the Go runtime.
func TestBackgroundPanic(t *testing.T) {
	var b buffer
	log, _ := audit.NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(&b))
	failed := make(chan error, 1)
	(&Gateway{log: log}).supervise(failed, func() error { panic("on purpose") })
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("want the panic as an error, found %v", err)
	}
	if line := b.String(); !strings.Contains(line, `"level":"error"`) || !strings.Contains(line, `"panic":"on purpose","stack":"`) {
		t.Errorf("want the panic in the log, found %s", line)
	}
}
