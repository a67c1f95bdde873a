package extauth

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
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
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/tool/pki"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// certificates contains a verifier and certificates of two clients that it trusts.
type certificates struct {
	verifier     *trust.Verifier
	mail, social *x509.Certificate
}

var generateCertificates = sync.OnceValues(func() (w certificates, err error) {
	now := time.Now()
	ca, err := pki.New(pki.Options{Name: "test", Algorithm: pki.P256, Lifetime: 24 * time.Hour, Now: now})
	if err != nil {
		return w, err
	}
	keyring, err := trust.ParseKeyring(ca.PublicKeyPEM(), 0)
	if err != nil {
		return w, err
	}
	w.verifier = trust.NewVerifier(keyring, nil, trust.Limits{})
	for name, c := range map[string]**x509.Certificate{"mail": &w.mail, "social": &w.social} {
		key, err := pki.P256.Generate()
		if err != nil {
			return w, err
		}
		if *c, err = ca.Issue(pki.Request{Client: name, PublicKey: key.Public(), Lifetime: time.Hour, Now: now}); err != nil {
			return w, err
		}
	}
	return w, nil
})

func newCertificates(tb testing.TB) certificates {
	tb.Helper()
	w, err := generateCertificates()
	if err != nil {
		tb.Fatal(err)
	}
	return w
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
	b.sources = &sources{Identifier: gate.Verification{Verifier: newCertificates(tb).verifier, MaxCredentialBytes: 2048}}
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

// response is a response as the proxy received it.
type response struct {
	*http.Response
	body string
}

// sendRequest sends one request as raw bytes and returns the response.
func sendRequest(t *testing.T, addr, request string) response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response to %.60q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res, string(body)}
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
