package doctor_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/gateway"
	"github.com/certgate/certgate/internal/surface/echo"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/doctor"
	"github.com/certgate/certgate/internal/tool/pki"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// fixture is a master key and a certificate of the client mail.
type fixture struct {
	publicKey string
	mail      *x509.Certificate
	pieces    map[string]bool // of the certificate
}

// shared is the fixture of all tests.
var shared struct {
	once    sync.Once
	fixture fixture
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	shared.once.Do(func() { shared.fixture = makeFixture(t) })
	return shared.fixture
}

// makeFixture issues the certificate. The key is RSA, so that the certificate is as long as
// most are. The base64 of the certificate contains a +.
func makeFixture(t *testing.T) (f fixture) {
	t.Helper()
	now := time.Now()
	authority, err := pki.New(pki.Options{Name: "test", Algorithm: pki.P256, Lifetime: 24 * time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	public := ca.RSAKey(t, 2048, 0).Public()
	for !strings.Contains(certheader.Encode(certheader.Base64DER, raw(f.mail)), "+") {
		if f.mail, err = authority.Issue(pki.Request{Client: "mail", PublicKey: public, Lifetime: time.Hour, Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	f.publicKey, f.pieces = string(authority.PublicKeyPEM()), piecesOf(f.mail.Raw)
	return f
}

func raw(c *x509.Certificate) []byte {
	if c == nil {
		return nil
	}
	return c.Raw
}

// newGateway starts a gateway that trusts this machine as a proxy and returns its URL.
// The settings are pairs of names and values; an empty value removes a setting.
func newGateway(t *testing.T, settings ...string) *url.URL {
	t.Helper()
	environ := map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "", "AUTH_PUBLIC_KEY": newFixture(t).publicKey, "AUTH_FAILURE_RATE": "0",
		"ACCESS_RULES": "rules: [{name: a, clients: [mail], allow: [\"GET /events\"]}]", "UPSTREAM_URL": "http://127.0.0.1:1",
		"TRUSTED_PROXIES": "127.0.0.1/32", "ECHO_PATH": echo.Path,
	}
	for i := 0; i < len(settings); i += 2 {
		if environ[settings[i]] = settings[i+1]; settings[i+1] == "" {
			delete(environ, settings[i])
		}
	}
	c, err := config.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Options{Config: c, Log: zap.NewNop(), Level: zap.NewAtomicLevel()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &url.URL{Scheme: "http", Host: g.Addr().String()}
}

// proxy is a load balancer that works correctly except for the configured faults.
type proxy struct {
	// rewrite changes the request to the gateway.
	rewrite func(r *httputil.ProxyRequest)
	// refuse returns the status of the load balancer's own response, or 0 to forward the
	// request.
	refuse func(r *http.Request) int
	// noKeepAlive disables the reuse of connections to the gateway.
	noKeepAlive bool
}

func (p proxy) start(t *testing.T, gateway *url.URL) *httptest.Server {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: p.noKeepAlive}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  zap.NewStdLog(zap.NewNop()),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(gateway)
			r.SetXForwarded()
			r.Out.Header.Del("X-Request-Id")
			if p.rewrite != nil {
				p.rewrite(r)
			}
		},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.refuse != nil {
			if status := p.refuse(r); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		forward.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return server
}

// examine runs the doctor through the proxy.
func (p proxy) examine(t *testing.T, gateway *url.URL) []doctor.Finding {
	t.Helper()
	server := p.start(t, gateway)
	return examineAt(t, server.URL+echo.Path, server.Client())
}

func examineAt(t *testing.T, address string, client *http.Client) []doctor.Finding {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(client.CloseIdleConnections)
	w := newFixture(t)
	findings := doctor.Examine(t.Context(), doctor.Options{URL: u, Certificates: [][]byte{w.mail.Raw}, Header: "X-SSL-Auth", Client: client})
	for _, f := range findings {
		w.wantNoPiece(t, f.Text)
	}
	return findings
}

// pieceLength is the length of a part of the certificate that no finding may contain.
const pieceLength = 12

// piecesOf returns the parts of all encoded forms of the certificate, except the beginning and
// the end of each, which are the same in every certificate.
func piecesOf(certificate []byte) map[string]bool {
	all := map[string]bool{}
	for _, form := range certheader.Forms() {
		secret := certheader.Encode(form, certificate)
		for i := 64; i+pieceLength <= len(secret)-40; i++ {
			all[secret[i:i+pieceLength]] = true
		}
	}
	return all
}

// wantNoPiece checks that the text contains no part of the certificate.
func (f fixture) wantNoPiece(t *testing.T, text string) {
	t.Helper()
	for i := range max(0, len(text)-pieceLength+1) {
		if f.pieces[text[i:i+pieceLength]] {
			t.Fatal("want no part of the certificate in a finding, found one")
		}
	}
}
