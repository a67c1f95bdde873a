package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/cmd/certgate/client"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/surface/problem"
	"github.com/certgate/certgate/internal/tool/pki"
)

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newAuthority(t testing.TB) *pki.Authority {
	t.Helper()
	return must[*pki.Authority](t)(pki.New(pki.Options{
		Name: "CA", Algorithm: pki.P256, Lifetime: 24 * time.Hour, Now: time.Now(),
	}))
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

// issue is a pair of the client mail.
func issue(t testing.TB, ca *pki.Authority, key crypto.Signer) tls.Certificate {
	t.Helper()
	cert := must[*x509.Certificate](t)(ca.Issue(pki.Request{
		Client: "mail", PublicKey: key.Public(), Lifetime: time.Hour, Now: time.Now(),
	}))
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func newCredential(t testing.TB, ca *pki.Authority) *client.Credential {
	t.Helper()
	return must[*client.Credential](t)(client.New(issue(t, ca, newKey(t))))
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// received is a request that the gateway has let pass.
type received struct {
	method, target, host, body string
	length                     int64
	header                     http.Header
}

// gateway is the part of certgate that clients meet: it lets pass what its client
// has signed, once, and answers that with next.
type gateway struct {
	*httptest.Server
	verifier *httpsig.Verifier
	trust    *trust.Verifier
	next     http.HandlerFunc

	mu     sync.Mutex
	nonces map[httpsig.Nonce]bool
	passed []received
	denied []refusal.Reason
}

func newGateway(t testing.TB, ca *pki.Authority) *gateway {
	t.Helper()
	ring := must[*trust.Keyring](t)(trust.ParseKeyring(ca.PublicKeyPEM(), 2048))
	g := &gateway{
		trust: trust.NewVerifier(ring, nil, trust.Limits{}), nonces: map[httpsig.Nonce]bool{},
		next: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
	}
	g.verifier = &httpsig.Verifier{CredentialHeader: "X-SSL-Auth", ClockSkew: time.Minute, Nonces: g}
	g.Server = httptest.NewUnstartedServer(g)
	g.EnableHTTP2 = true
	t.Cleanup(func() { g.Close() })
	return g
}

// start is the gateway with a plain listener.
func (g *gateway) start() *gateway { g.Start(); return g }

func (g *gateway) Spend(n httpsig.Nonce) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := httpsig.Nonce{Key: n.Key, Value: n.Value}
	if g.nonces[key] {
		return refusal.New(refusal.ProofReplayed, "seen before")
	}
	g.nonces[key] = true
	return nil
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = g.judge(r, body)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	refusal := refusal.Of(err)
	if err != nil && refusal == nil {
		http.Error(w, "broken", http.StatusBadRequest)
		return
	}
	if refusal != nil {
		g.denied = append(g.denied, refusal.Reason)
		problem.Problem{Reason: refusal.Reason, Status: refusal.Reason.Status(), Header: "X-SSL-Auth"}.SetHeader(w.Header())
		w.WriteHeader(refusal.Reason.Status())
		return
	}
	g.passed = append(g.passed, received{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header})
	g.next(w, r)
}

func (g *gateway) judge(r *http.Request, body []byte) error {
	now := time.Now()
	chain, err := certheader.Parse(r.Header.Values(g.verifier.CredentialHeader), 16<<10)
	if err != nil {
		return err
	}
	verified, err := g.trust.Verify(chain.Leaf, now, chain.Intermediates...)
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
	_, err = g.verifier.Spend(checked, m, now)
	return err
}

// seen is what the gateway let pass and refused since the last call.
func (g *gateway) seen() ([]received, []refusal.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	passed, denied := g.passed, g.denied
	g.passed, g.denied = nil, nil
	return passed, denied
}

// wantOne wants that one request has passed and nothing was refused.
func (g *gateway) wantOne(t *testing.T) received {
	t.Helper()
	passed, denied := g.seen()
	if len(passed) != 1 || len(denied) != 0 {
		t.Fatalf("want one request, found %d and refusals %v", len(passed), denied)
	}
	return passed[0]
}

// wantNone wants that nothing has arrived.
func (g *gateway) wantNone(t *testing.T) {
	t.Helper()
	if passed, denied := g.seen(); len(passed)+len(denied) != 0 {
		t.Errorf("want no request, found %d and refusals %v", len(passed), denied)
	}
}

// transport sends to the gateway, over connections of its own.
func (g *gateway) transport(t *testing.T, c *client.Credential) *client.Transport {
	t.Helper()
	base := &http.Transport{}
	if g.TLS != nil {
		base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		base.TLSClientConfig.RootCAs.AddCert(g.Certificate())
		base.ForceAttemptHTTP2 = true
	}
	t.Cleanup(base.CloseIdleConnections)
	return &client.Transport{Credential: c, Origin: g.URL, Base: base}
}
