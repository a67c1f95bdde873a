package extauth

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestMain lets all parallel tests run at the same time, because most of them wait for timeouts,
// and finds goroutines that are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// The ids in the traceparent of requests.
const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

// certificates contains a verifier and certificates of two clients that it trusts.
type certificates struct {
	verifier     *trust.Verifier
	mail, social *x509.Certificate
}

// shared contains the certificates of all tests.
var shared struct {
	sync.Once
	certificates
}

func newCertificates(tb testing.TB) certificates {
	tb.Helper()
	shared.Do(func() {
		root := ca.New(tb, ca.Current)
		keyring, err := trust.ParseKeyring(root.PublicKeyPEM(), 0)
		if err != nil {
			tb.Fatal(err)
		}
		shared.certificates = certificates{
			verifier: trust.NewVerifier(keyring, nil, trust.Limits{}),
			mail:     root.Client(tb, ca.Key(tb).Public(), ca.Current),
			social:   root.Client(tb, ca.Key(tb).Public(), ca.Current, ca.Named("social")),
		}
	})
	return shared.certificates
}

func encode(c *x509.Certificate) string { return certheader.Encode(certheader.Base64DER, c.Raw) }

// sources is an identifier that records the number of claims and the source of the last.
type sources struct {
	gate.Identifier

	calls int
	last  netip.Addr
}

func (s *sources) Identify(claim gate.Claim, now time.Time) gate.Identification {
	s.calls++
	s.last = claim.Source
	return s.Identifier.Identify(claim, now)
}

// fixture contains the options of a surface, its gate and its log.
type fixture struct {
	options    Options
	provenance ingress.Options // configures Options.Provenance
	gate       *gate.Gate
	sources    *sources

	mu  sync.Mutex
	log bytes.Buffer
}

func (b *fixture) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

// newFixture returns a fixture with peers on loopback. The optional function change can modify
// it before use.
func newFixture(tb testing.TB, change func(*fixture)) *fixture {
	tb.Helper()
	policy, err := access.Compile([]access.Rule{
		{Name: "events", Clients: []string{"mail"}, Allow: []string{"GET /events", "POST /events"}},
		{Name: "rare", Clients: []string{"mail"}, Allow: []string{"GET /rare"}, Rate: "1/h"},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	b := &fixture{provenance: ingress.Options{CredentialHeader: "X-SSL-Auth"}}
	b.sources = &sources{Identifier: gate.Verification{Verifier: newCertificates(tb).verifier, Names: identity.OU.Reader(), MaxCredentialBytes: 2048}}
	b.gate = &gate.Gate{Identifier: b.sources, Policy: policy}
	log, _ := audit.NewLogger(zapcore.DebugLevel, "json", zapcore.AddSync(b))
	b.options = Options{
		Gate:     func() *gate.Gate { return b.gate },
		Recorder: audit.New(log, prometheus.NewRegistry()), Log: log,
		Peers:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Stopping: func() bool { return false },
		Draining: func() bool { return false },
	}
	if change != nil {
		change(b)
	}
	b.options.Provenance = ingress.New(b.provenance)
	return b
}

func trusting(b *fixture) {
	b.provenance.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// serve starts the surface over HTTP and returns its address.
func (b *fixture) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: NewHandler(b.options), ConnContext: framing.Context, ConnState: framing.State, ErrorLog: zap.NewStdLog(zap.NewNop())}
	var server interface {
		Serve(l net.Listener) error
		Close() error
	} = server.New(s, 0)
	if os.Getenv("TEST_HTTP_FAST_PATH") == "false" {
		server = s
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(framing.NewListener(l, framing.Options{}))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		_ = l.Close()
		<-served
	})
	return l.Addr().String()
}

func httpRequest(line string, headers ...string) string {
	return strings.Join(append([]string{line, "Host: certgate"}, headers...), "\r\n") + "\r\n\r\n"
}

// record returns the audit record, the only line of the log.
func (b *fixture) record(t *testing.T) map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var fields map[string]any
	if err := json.Unmarshal(b.log.Bytes(), &fields); err != nil || fields["msg"] != "request" {
		t.Fatalf("want one record, found %q: %v", b.log.String(), err)
	}
	return fields
}
