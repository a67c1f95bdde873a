package agent_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/tool/agent"
	"github.com/certgate/certgate/internal/tool/pki"
)

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// files are the certificate and key files of an agent, and the CA that issues for them.
type files struct {
	t         *testing.T
	ca        *pki.Authority
	cert, key string
}

// newFiles writes a certificate and key of the client mail, valid for an hour from now.
func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	f := files{t, newAuthority(t), filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")}
	f.renew(time.Now())
	return f
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	return must[*pki.Authority](t)(pki.New(pki.Options{
		Name: "CA", Algorithm: pki.P256, Lifetime: 1000 * time.Hour, Now: time.Now().Add(-500 * time.Hour),
	}))
}

// pair returns a new certificate, valid for an hour, and its key.
func (f files) pair(now time.Time) (cert *x509.Certificate, key []byte) {
	f.t.Helper()
	signer := must[crypto.Signer](f.t)(pki.P256.Generate())
	cert = must[*x509.Certificate](f.t)(f.ca.Issue(pki.Request{Client: "mail", PublicKey: signer.Public(), Lifetime: time.Hour, Now: now}))
	return cert, must[[]byte](f.t)(pki.EncodeKey(signer))
}

// renew writes a new pair to the files and returns its certificate.
func (f files) renew(now time.Time) *x509.Certificate {
	f.t.Helper()
	cert, key := f.pair(now)
	f.write(f.cert, pki.EncodeCertificate(cert))
	f.write(f.key, key)
	return cert
}

func (f files) write(name string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// received is a request that the target accepted.
type received struct {
	method, target, host, body string
	header                     http.Header
	cert                       *x509.Certificate
}

// target verifies requests as the gateway does and accepts only signed ones.
type target struct {
	*httptest.Server
	url      *url.URL
	verifier httpsig.Verifier
	trust    *trust.Verifier
	handler  http.HandlerFunc
	accepted chan received
}

func newTarget(t *testing.T, f files, handler http.HandlerFunc) *target {
	t.Helper()
	ring := must[*trust.Keyring](t)(trust.ParseKeyring(f.ca.PublicKeyPEM(), 2048))
	// Tests change the agent's clock for certificates; signatures use the real clock.
	g := &target{trust: trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: 400 * time.Hour}), handler: handler, accepted: make(chan received, 1000)}
	g.verifier = httpsig.Verifier{CredentialHeader: "X-SSL-Auth", ClockSkew: time.Minute, Nonces: &nonces{}}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	g.url = must[*url.URL](t)(url.Parse(g.URL))
	return g
}

func (g *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = g.verify(r, body)
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Certificate realm="certgate", error="x"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if g.handler != nil {
		g.handler(w, r)
	}
}

func (g *target) verify(r *http.Request, body []byte) error {
	now := time.Now()
	chain, err := certheader.Parse(r.Header.Values("X-SSL-Auth"), 16<<10)
	if err != nil {
		return err
	}
	verified, err := g.trust.Verify(chain.Leaf, now)
	if err != nil {
		return err
	}
	caller, err := identity.OU.Reader().Of(verified)
	if err != nil {
		return err
	}
	m := httpsig.Message{
		Method: r.Method, Target: r.RequestURI, Authority: r.Host, Header: r.Header,
		HasBody: r.ContentLength != 0, Body: func() ([]byte, error) { return body, nil },
	}
	statement, err := g.verifier.Read(m, now)
	if err != nil {
		return err
	}
	checked, err := g.verifier.Check(statement, m, caller)
	if err != nil {
		return err
	}
	if _, err := g.verifier.Finish(checked, m, now); err != nil {
		return err
	}
	g.accepted <- received{r.Method, r.RequestURI, r.Host, string(body), r.Header, chain.Leaf}
	return nil
}

// nonces is a nonce store without a limit.
type nonces struct{ used sync.Map }

func (n *nonces) Use(one httpsig.Nonce) error {
	if _, used := n.used.LoadOrStore(one.Value, true); used {
		return io.ErrNoProgress
	}
	return nil
}

// wantOne waits for the next accepted request and returns it.
func (g *target) wantOne(t *testing.T) received {
	t.Helper()
	select {
	case r := <-g.accepted:
		return r
	case <-time.After(rawhttp.Timeout):
		t.Fatal("want a request at the target, found none")
		return received{}
	}
}

func (g *target) wantNone(t *testing.T) {
	t.Helper()
	if n := len(g.accepted); n != 0 {
		t.Errorf("want no request at the target, found %d", n)
	}
}

// sidecar is a running agent.
type sidecar struct {
	*agent.Agent
	logs   *observer.ObservedLogs
	clock  *atomic.Pointer[time.Time] // for the certificate's validity; the real clock if nil
	cancel context.CancelFunc
	ended  chan error
}

func options(f files, to *url.URL) agent.Options {
	return agent.Options{
		CertFile: f.cert, KeyFile: f.key, Target: to, Listen: "127.0.0.1:0", Header: "X-SSL-Auth",
		MaxBodyBytes: 100, ShutdownTimeout: rawhttp.Timeout,
	}
}

// start runs an agent without file watch until the test ends, and checks that Run
// returns no error.
func start(t *testing.T, o agent.Options) *sidecar {
	t.Helper()
	return startWith(t, o, (*agent.Agent).DisableWatch)
}

// startWith runs an agent that change has modified.
func startWith(t *testing.T, o agent.Options, change func(*agent.Agent)) *sidecar {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := &sidecar{logs: logs, clock: &atomic.Pointer[time.Time]{}, ended: make(chan error, 1)}
	o.Log = zap.New(core)
	o.Now = func() time.Time {
		if now := s.clock.Load(); now != nil {
			return *now
		}
		return time.Now()
	}
	s.Agent = must[*agent.Agent](t)(agent.New(t.Context(), o))
	change(s.Agent)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s.cancel = cancel
	go func() { s.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("want no error from Run, found %v", err)
		}
	})
	return s
}

// setClock sets the agent's clock.
func (s *sidecar) setClock(now time.Time) { s.clock.Store(&now) }

// countLogs returns the number of log lines of the level that contain the message.
func (s *sidecar) countLogs(level zapcore.Level, message string) int {
	return s.logs.FilterMessageSnippet(message).FilterLevelExact(level).Len()
}

// response is a response with its body.
type response struct{ rawhttp.Response }

// sendRaw sends the bytes of a request and reads the response.
func (s *sidecar) sendRaw(t *testing.T, method, raw string) response {
	t.Helper()
	c := rawhttp.New(must[net.Conn](t)((&net.Dialer{Timeout: rawhttp.Timeout}).DialContext(t.Context(), s.Addr().Network(), s.Addr().String())))
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(rawhttp.Timeout)); err != nil {
		t.Fatal(err)
	}
	c.Send(raw)
	return response{c.Response(t, method)}
}

// request sends a request with the header lines and the body.
func (s *sidecar) request(t *testing.T, method, target, body string, lines ...string) response {
	t.Helper()
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\n")
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	head := strings.ToLower(b.String())
	if !strings.Contains(head, "\r\nhost:") {
		b.WriteString("Host: localhost\r\n")
	}
	if body != "" && !strings.Contains(head, "transfer-encoding:") {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	return s.sendRaw(t, method, b.String()+"Connection: close\r\n\r\n"+body)
}

// wantRefusal checks that the response is a refusal of the agent itself.
func (a response) wantRefusal(t *testing.T, status int, reason string) {
	t.Helper()
	var p struct {
		Type, Title, Reason string
		Status              int
	}
	err := json.Unmarshal([]byte(a.Text), &p)
	if err != nil || a.StatusCode != status || p.Status != status || p.Reason != reason || p.Type != "urn:certgate:"+reason ||
		p.Title == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("want the problem %d %s, found %d and %s", status, reason, a.StatusCode, a.Text)
	}
}
