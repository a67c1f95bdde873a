//go:build linux

package server_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/leak"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestMain lets all parallel tests run at the same time, because they wait for timeouts and
// use no processor, and finds goroutines that are left over. After some refusals net/http sleeps
// for 500 ms until it closes the connection; the tests do not wait for that.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	leak.Main(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// soon is a timeout that a test waits for. Events that must happen before it have enough time
// on a busy machine, too; therefore the tests that wait run in parallel.
const soon = 2 * time.Second

// brief is a timeout that a test waits for when nothing has to happen before it.
const brief = 50 * time.Millisecond

// options configure the server of a test. Zero values are longer than any test waits.
type options struct {
	readHeader, read, idle, write time.Duration
	maxHeader                     int // 64 KiB
	maxConnections                int64
	listener                      net.Listener // a fresh one on loopback TCP
	intern                        func([]byte) (string, bool)
}

// running is a server under test, with the fast path or, if bare, without.
type running struct {
	t        *testing.T
	bare     bool
	http     *http.Server
	listener *framing.Listener
	server   interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
		Close() error
	}
	served chan error
	log    *logged
}

// logged keeps what the server writes to its ErrorLog.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (*logged) Sync() error { return nil }

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// both yields a server with the fast path and one without. A test that ranges over it asserts
// the same of both.
func both(yield func(addr string, bare bool) bool) {
	_ = yield("fast", false) && yield("bare", true)
}

func or(d time.Duration) time.Duration {
	if d == 0 {
		return 3 * rawhttp.Timeout
	}
	return d
}

// newHTTP returns a server with the settings of the gateway.
func newHTTP(h http.Handler, o options, log io.Writer) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(log), zap.DebugLevel)
	errorLog, err := zap.NewStdLogAt(zap.New(core), zap.WarnLevel)
	if err != nil {
		panic(err)
	}
	if o.maxHeader == 0 {
		o.maxHeader = 64 << 10
	}
	return &http.Server{
		Handler:                      h,
		Protocols:                    protocols,
		ReadHeaderTimeout:            or(o.readHeader),
		ReadTimeout:                  or(o.read),
		IdleTimeout:                  or(o.idle),
		MaxHeaderBytes:               o.maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  framing.Context,
		ConnState:                    framing.State,
		ErrorLog:                     errorLog,
	}
}

func refuse(r framing.Refusal) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", r.Status)
}

// start runs a server until the end of the test.
func start(t *testing.T, bare bool, o options, h http.HandlerFunc) *running {
	t.Helper()
	inner := o.listener
	if inner == nil {
		var err error
		if inner, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r := &running{t: t, bare: bare, served: make(chan error, 1), log: new(logged)}
	r.http = newHTTP(h, o, r.log)
	r.listener = framing.NewListener(inner, framing.Options{Refuse: refuse, WriteTimeout: or(o.write), MaxConnections: o.maxConnections})
	if r.server = r.http; !bare {
		fast := server.New(r.http, or(o.write))
		fast.Intern = o.intern
		r.server = fast
	}
	go func() { r.served <- r.server.Serve(r.listener) }()
	t.Cleanup(func() {
		_ = r.listener.Close()
		_ = r.server.Close()
	})
	return r
}

// rawClient is the client end of a connection in a test.
type rawClient struct {
	*rawhttp.Conn
	t *testing.T
}

func (r *running) dial() *rawClient {
	r.t.Helper()
	return &rawClient{rawhttp.Dial(r.t, r.listener.Addr().String()), r.t}
}

func (c *rawClient) send(text string) *rawClient {
	c.Send(text)
	return c
}

// want reads a response and compares its status and body.
func (c *rawClient) want(status int, body string) http.Header {
	c.t.Helper()
	res := c.Response(c.t, http.MethodGet)
	if res.Err != nil || res.StatusCode != status || res.Text != body {
		c.t.Fatalf("want %d %.80q, found %d %.80q and %v", status, body, res.StatusCode, res.Text, res.Err)
	}
	return res.Header
}

// wantEnd expects the end of the connection, without more bytes and without a reset.
func (c *rawClient) wantEnd() {
	c.t.Helper()
	c.WantEOF(c.t)
}

// wantGone expects the end of the connection or a reset.
func (c *rawClient) wantGone() {
	c.t.Helper()
	c.WantClosed(c.t)
}

// await receives from a channel, and fails the test if nothing arrives.
func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(rawhttp.Timeout):
		t.Fatalf("no %s", what)
	}
	return v
}

// onFastPath reports whether the fast path serves the request.
func onFastPath(w http.ResponseWriter) bool { return fmt.Sprintf("%T", w) == "*server.response" }

func get(target string) string { return rawhttp.Lines("GET "+target+" HTTP/1.1", "Host: h", "") }

func post(target, body string) string {
	return rawhttp.Lines("POST "+target+" HTTP/1.1", "Host: h", fmt.Sprintf("Content-Length: %d", len(body)), "") + body
}

// unusual returns a request that the fast path leaves to net/http.
func unusual(target string) string {
	return rawhttp.Lines("GET "+target+" HTTP/1.1", "Host: h", "TE: trailers", "")
}

// describe responds with the kind of the server, the target and the body.
func describe(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	kind := "http"
	if onFastPath(w) {
		kind = "fast"
	}
	fmt.Fprintf(w, "%s %s %s", kind, r.RequestURI, body)
}
