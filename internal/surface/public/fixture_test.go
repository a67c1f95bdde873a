package public

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestMain lets all parallel tests run at the same time, because some of them wait for 500 ms,
// which net/http sleeps after some refusals until it closes the connection. It finds goroutines
// that are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// certificates contains a verifier, certificates of two clients that it trusts, and a certificate
// under another master key.
type certificates struct {
	verifier            *trust.Verifier
	mail, social, other *x509.Certificate
}

// shared contains the certificates of all tests.
var shared struct {
	sync.Once
	certificates
}

func newCertificates(tb testing.TB) certificates {
	tb.Helper()
	shared.Do(func() {
		root, foreign := ca.New(tb, ca.Current), ca.New(tb, ca.Current)
		keyring, err := trust.ParseKeyring(root.PublicKeyPEM(), 0)
		if err != nil {
			tb.Fatal(err)
		}
		shared.certificates = certificates{
			verifier: trust.NewVerifier(keyring, nil, trust.Limits{}),
			mail:     root.Client(tb, ca.Key(tb).Public(), ca.Current),
			social:   root.Client(tb, ca.Key(tb).Public(), ca.Current, ca.Named("social")),
			other:    foreign.Client(tb, ca.Key(tb).Public(), ca.Current),
		}
	})
	return shared.certificates
}

func (w certificates) verification() gate.Verification {
	return gate.Verification{Verifier: w.verifier, Names: identity.OU.Reader(), MaxCredentialBytes: maxCredential}
}

func encode(c *x509.Certificate) string { return certheader.Encode(certheader.Base64DER, c.Raw) }

// fixture is a surface that listens on loopback, with its upstream, log and metrics.
type fixture struct {
	options Options
	// provenance configures Options.Provenance.
	provenance ingress.Options
	addr       string
	server     interface {
		Serve(l net.Listener) error
		Shutdown(ctx context.Context) error
	}
	registry *prometheus.Registry
	upstream *httptest.Server
	// respond is the handler of the upstream; requests contains the requests it received.
	respond  http.HandlerFunc
	requests chan *http.Request

	mu  sync.Mutex
	log bytes.Buffer
	end func()
}

func (b *fixture) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.requests <- r
	if b.respond != nil {
		b.respond(w, r)
	}
}

const maxCredential = 2048

// newFixture starts a surface. The optional function change can modify it before the start.
func newFixture(tb testing.TB, change func(*fixture)) *fixture {
	tb.Helper()
	w := newCertificates(tb)
	b := &fixture{requests: make(chan *http.Request, 100), registry: prometheus.NewRegistry()}
	b.upstream = httptest.NewUnstartedServer(b)
	b.upstream.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	b.upstream.Start()
	target, err := url.Parse(b.upstream.URL)
	if err != nil {
		tb.Fatal(err)
	}
	log, _ := audit.NewLogger(zapcore.DebugLevel, "json", zapcore.AddSync(b))
	policy, err := access.Compile([]access.Rule{{Name: "events", Clients: []string{"mail"}, Allow: []string{"GET /events/", "POST /events"}}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	g := &gate.Gate{Identifier: w.verification(), Policy: policy}
	b.provenance = ingress.Options{CredentialHeader: "X-SSL-Auth"}
	b.options = Options{
		Gate: func() *gate.Gate { return g },
		Forwarder: forward.New(forward.Options{
			FastPath: os.Getenv("TEST_HTTP_FAST_PATH") != "false",
			Pool:     upstream.New(upstream.Options{Addresses: []*url.URL{target}, MaxInFlight: 100, Now: time.Now}),
			Timeout:  time.Minute, MaxBodyBytes: 1000, CredentialHeaders: []string{"X-SSL-Auth"},
		}),
		Recorder: audit.New(log, b.registry), Log: log,
		Stopping: func() bool { return false },
		Draining: func() bool { return false },
	}
	forwarder := b.options.Forwarder
	if change != nil {
		change(b)
	}
	b.options.Provenance = ingress.New(b.provenance)
	served := b.serve(tb)
	b.end = sync.OnceFunc(func() {
		// Shutdown waits for handlers; Close does not.
		ctx, cancel := context.WithTimeout(context.Background(), rawhttp.Timeout)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
		<-served
		b.upstream.CloseClientConnections()
		b.upstream.Close()
		forwarder.Close()
		b.options.Forwarder.Close()
	})
	tb.Cleanup(b.end)
	return b
}

// connContext is the same as in package gateway.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return ingress.ConnContext(framing.Context(ctx, c), c)
}

func (b *fixture) serve(tb testing.TB) (served chan struct{}) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b.addr = l.Addr().String()
	s := &http.Server{
		Handler: NewHandler(b.options), ConnContext: connContext, ConnState: framing.State, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
	b.server = server.New(s, 0)
	if os.Getenv("TEST_HTTP_FAST_PATH") == "false" {
		b.server = s
	}
	served = make(chan struct{})
	go func() {
		defer close(served)
		_ = b.server.Serve(framing.NewListener(l, framing.Options{Refuse: NewRefuser(b.options.Recorder, audit.Public, refusal.Reason.Status)}))
	}()
	return served
}

// response is a response as the client received it.
type response struct {
	rawhttp.Response
	raw string
}

// send sends one request as raw bytes on a new connection and returns the response. It
// closes the connection.
func (b *fixture) send(t *testing.T, request string) response {
	t.Helper()
	c := rawhttp.Dial(t, b.addr)
	defer c.Close()
	var raw bytes.Buffer
	c.Reader = bufio.NewReader(io.TeeReader(c.Conn, &raw))
	c.Send(request)
	method, _, _ := strings.Cut(request, " ")
	return response{c.Response(t, method), raw.String()}
}

// problem parses the RFC 9457 document of the response.
func (r response) problem(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.Text), &doc); err != nil {
		t.Fatalf("want a problem, found %q: %v", r.Text, err)
	}
	return doc
}

// lines stops the server and returns the parsed lines of the log.
func (b *fixture) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.text()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, fields)
	}
	return all
}

// text stops the server and returns the whole log.
func (b *fixture) text() string {
	b.end()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// record stops the server and returns the audit record, the only line of the log.
func (b *fixture) record(t *testing.T) map[string]any {
	t.Helper()
	all := b.lines(t)
	if len(all) != 1 || all[0]["msg"] != "request" {
		t.Fatalf("want one record, found %v", all)
	}
	return all[0]
}

// metrics returns the metrics in the format of Prometheus.
func (b *fixture) metrics() string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return w.Body.String()
}

// forwarded stops the server and returns the number of requests that the upstream received.
func (b *fixture) forwarded() int {
	b.end()
	return len(b.requests)
}

func request(line string, headers ...string) string {
	all := append([]string{line, "Host: gateway"}, headers...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

func trusting(cidr string) func(*fixture) {
	return func(b *fixture) { b.provenance.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(cidr)} }
}
