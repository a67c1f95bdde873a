package gateway

import (
	"bytes"
	"cmp"
	"context"
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
	"github.com/certgate/certgate/internal/testkit/leak"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestMain lets all parallel tests run at the same time, because they wait for timeouts and
// use no processor, and finds goroutines that are left over. After some refusals net/http sleeps
// for 500 ms until it closes the connection; the tests do not wait for that.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	gin.SetMode(gin.ReleaseMode)
	leak.Main(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
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
	g, err := buildWithLog(c, &b)
	return g, &b, err
}

func buildWithLog(c config.Config, w io.Writer) (*Gateway, error) {
	log, level := audit.NewLogger(c.LogLevel, c.LogFormat, zapcore.AddSync(w))
	return New(context.Background(), Options{Config: c, Log: log, Level: level})
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
	for deadline := time.Now().Add(rawhttp.Timeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("want %s within %s", description, rawhttp.Timeout)
}

// freeAddress returns an address that no program listens on. Where the system permits it, no
// other test uses its IP address.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.77.0.3:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
