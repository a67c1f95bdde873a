package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestMain lets all parallel tests run at the same time, because they wait for timeouts and
// use no processor, and finds goroutines that are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// credentials are a master key and a certificate of the client mail, as a header value.
type credentials struct {
	publicKey, header string
}

// shared contains the credentials of all tests.
var shared struct {
	sync.Once
	credentials
}

func newCredentials(t *testing.T) credentials {
	t.Helper()
	shared.Do(func() {
		root := ca.New(t, ca.Current)
		mail := root.Client(t, ca.Key(t).Public(), ca.Current)
		shared.credentials = credentials{string(root.PublicKeyPEM()), certheader.Encode(certheader.Base64DER, mail.Raw)}
	})
	return shared.credentials
}

// load returns a small configuration with additional settings.
func load(t *testing.T, upstream string, set map[string]string) config.Config {
	t.Helper()
	environ := map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "UPSTREAM_URL": upstream,
		"AUTH_PUBLIC_KEY": newCredentials(t).publicKey,
		"HTTP_FAST_PATH":  cmp.Or(os.Getenv("TEST_HTTP_FAST_PATH"), "true"),
		"ACCESS_RULES":    "rules:\n  - name: events\n    clients: [mail]\n    allow: [\"GET /events\"]\n",
	}
	maps.Copy(environ, set)
	for _, name := range []string{"AUTH_PUBLIC_KEY", "ACCESS_RULES"} {
		if environ[name+"_FILE"] != "" {
			delete(environ, name)
		}
	}
	c, err := config.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// buffer is a log that is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a gateway that runs in the background.
type running struct {
	*Gateway
	log    *buffer
	cancel context.CancelFunc
	done   chan error
	client *http.Client
}

func build(t *testing.T, c config.Config) (*Gateway, *buffer, error) {
	t.Helper()
	var b buffer
	log, level := audit.NewLogger(c.LogLevel, c.LogFormat, zapcore.AddSync(&b))
	g, err := New(context.Background(), Options{Config: c, Log: log, Level: level})
	return g, &b, err
}

func start(t *testing.T, c config.Config) *running {
	t.Helper()
	g, log, err := build(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return runInBackground(t, g, log)
}

// runInBackground runs a gateway until the end of the test, or until cancel is
// called.
func runInBackground(t *testing.T, g *Gateway, log *buffer) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		Gateway: g, log: log, cancel: cancel, done: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{}, Timeout: rawhttp.Timeout},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- g.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		r.client.CloseIdleConnections()
		<-ended
	})
	return r
}

// get requests a path with the certificate of mail.
func (r *running) get(t *testing.T, addr net.Addr, path string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+addr.String()+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-SSL-Auth", newCredentials(t).header)
	res, err := r.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func want(t *testing.T, r *running, addr net.Addr, path string, status int, text string) {
	t.Helper()
	s, body, err := r.get(t, addr, path)
	if err != nil || s != status || !strings.Contains(body, text) {
		t.Errorf("%s: %d %q, %v: want %d and %q", path, s, body, err, status, text)
	}
}

// eventually waits until the condition is true.
func eventually(t *testing.T, description string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(rawhttp.Timeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("want %s within %s", description, rawhttp.Timeout)
}

// isFree reports whether an address can be bound.
func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// hello starts an upstream and returns its URL.
func hello(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(s.Close)
	return s.URL
}

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

// blockingUpstream starts an upstream that reports the arrival of a request and responds
// after the call of release.
func blockingUpstream(t *testing.T) (addr string, arrived chan struct{}, release func()) {
	t.Helper()
	arrived, released := make(chan struct{}, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-released:
			_, _ = io.WriteString(w, "late")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, arrived, sync.OnceFunc(func() { close(released) })
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
	spare := upstream.Refusing(t)
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
