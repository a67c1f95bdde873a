package agent_test

import (
	"bufio"
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
	"github.com/certgate/certgate/internal/tool/agent"
	"github.com/certgate/certgate/internal/tool/pki"
)

// patience bounds every wait; nothing is measured by it.
const patience = 20 * time.Second

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

// files are where an agent finds its certificate and key.
type files struct {
	t         *testing.T
	ca        *pki.Authority
	cert, key string
}

// newFiles holds a pair of mail, valid for an hour from now.
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

// pair is a new one, for an hour.
func (f files) pair(now time.Time) (cert *x509.Certificate, key []byte) {
	f.t.Helper()
	signer := must[crypto.Signer](f.t)(pki.P256.Generate())
	cert = must[*x509.Certificate](f.t)(f.ca.Issue(pki.Request{Client: "mail", PublicKey: signer.Public(), Lifetime: time.Hour, Now: now}))
	return cert, must[[]byte](f.t)(pki.EncodeKey(signer))
}

// renew puts a new pair into the files.
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

// received is a request that the target believed.
type received struct {
	method, target, host, body string
	header                     http.Header
	cert                       *x509.Certificate
}

// target is a gateway as far as an agent can see: it wants every request signed.
type target struct {
	*httptest.Server
	url      *url.URL
	verifier httpsig.Verifier
	trust    *trust.Verifier
	next     http.HandlerFunc
	passed   chan received
}

func newTarget(t *testing.T, f files, next http.HandlerFunc) *target {
	t.Helper()
	ring := must[*trust.Keyring](t)(trust.ParseKeyring(f.ca.PublicKeyPEM(), 2048))
	// The agent's clock may be another here; that of the signatures is not.
	g := &target{trust: trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: 400 * time.Hour}), next: next, passed: make(chan received, 1000)}
	g.verifier = httpsig.Verifier{CredentialHeader: "X-SSL-Auth", ClockSkew: time.Minute, Nonces: &nonces{}}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	g.url = must[*url.URL](t)(url.Parse(g.URL))
	return g
}

func (g *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = g.judge(r, body)
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Certificate realm="certgate", error="x"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if g.next != nil {
		g.next(w, r)
	}
}

func (g *target) judge(r *http.Request, body []byte) error {
	now := time.Now()
	chain, err := certheader.Parse(r.Header.Values("X-SSL-Auth"), 16<<10)
	if err != nil {
		return err
	}
	verified, err := g.trust.Verify(chain.Leaf, now)
	if err != nil {
		return err
	}
	who, err := identity.Of(verified)
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
	checked, err := g.verifier.Check(statement, m, who)
	if err != nil {
		return err
	}
	if _, err := g.verifier.Spend(checked, m, now); err != nil {
		return err
	}
	g.passed <- received{r.Method, r.RequestURI, r.Host, string(body), r.Header, chain.Leaf}
	return nil
}

type nonces struct{ seen sync.Map }

func (n *nonces) Spend(one httpsig.Nonce) error {
	if _, used := n.seen.LoadOrStore(one.Value, true); used {
		return io.ErrNoProgress
	}
	return nil
}

// one is the request that has passed.
func (g *target) one(t *testing.T) received {
	t.Helper()
	select {
	case r := <-g.passed:
		return r
	case <-time.After(patience):
		t.Fatal("want a request at the target, found none")
		return received{}
	}
}

func (g *target) wantNone(t *testing.T) {
	t.Helper()
	if n := len(g.passed); n != 0 {
		t.Errorf("want no request at the target, found %d", n)
	}
}

// sidecar is a running agent.
type sidecar struct {
	*agent.Agent
	logs   *observer.ObservedLogs
	clock  *atomic.Pointer[time.Time] // of its certificate's life; nil: the real one
	cancel context.CancelFunc
	ended  chan error
}

func options(f files, to *url.URL) agent.Options {
	return agent.Options{
		CertFile: f.cert, KeyFile: f.key, Target: to, Listen: "127.0.0.1:0", Header: "X-SSL-Auth",
		MaxBodyBytes: 100, ShutdownTimeout: patience,
	}
}

// start runs an agent until the test ends, and wants that to go well.
func start(t *testing.T, o agent.Options) *sidecar {
	t.Helper()
	return startWith(t, o, (*agent.Agent).Unwatch)
}

// startWith starts an agent after a change of it.
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
			t.Errorf("want the agent to end well, found %v", err)
		}
	})
	return s
}

// at sets the agent's clock.
func (s *sidecar) at(now time.Time) { s.clock.Store(&now) }

// said counts the lines with the message at the level.
func (s *sidecar) said(level zapcore.Level, message string) int {
	return s.logs.FilterMessageSnippet(message).FilterLevelExact(level).Len()
}

// answer is what a local program gets.
type answer struct {
	*http.Response
	body string
}

// send writes a request as it stands and reads the answer.
func (s *sidecar) send(t *testing.T, method, raw string) answer {
	t.Helper()
	c := must[net.Conn](t)((&net.Dialer{Timeout: patience}).DialContext(t.Context(), s.Addr().Network(), s.Addr().String()))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_ = must[int](t)(io.WriteString(c, raw))
	res := must[*http.Response](t)(http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}))
	body := must[[]byte](t)(io.ReadAll(res.Body))
	_ = res.Body.Close()
	return answer{res, string(body)}
}

// ask sends a request with the header lines and the body.
func (s *sidecar) ask(t *testing.T, method, target, body string, lines ...string) answer {
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
	return s.send(t, method, b.String()+"Connection: close\r\n\r\n"+body)
}

// want wants an answer of the agent's own.
func (a answer) want(t *testing.T, status int, reason string) {
	t.Helper()
	var p struct {
		Type, Title, Reason string
		Status              int
	}
	err := json.Unmarshal([]byte(a.body), &p)
	if err != nil || a.StatusCode != status || p.Status != status || p.Reason != reason || p.Type != "urn:certgate:"+reason ||
		p.Title == "" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("want the problem %d %s, found %d and %s", status, reason, a.StatusCode, a.body)
	}
}
