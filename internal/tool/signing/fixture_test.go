package signing_test

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

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/surface/problem"
	"github.com/certgate/certgate/internal/tool/pki"
	"github.com/certgate/certgate/internal/tool/signing"
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

// issue returns a certificate of the client mail with its key.
func issue(t testing.TB, ca *pki.Authority, key crypto.Signer) tls.Certificate {
	t.Helper()
	cert := must[*x509.Certificate](t)(ca.Issue(pki.Request{
		Client: "mail", PublicKey: key.Public(), Lifetime: time.Hour, Now: time.Now(),
	}))
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func newCredential(t testing.TB, ca *pki.Authority) *signing.Credential {
	t.Helper()
	return must[*signing.Credential](t)(signing.New(issue(t, ca, newKey(t))))
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// received is a request that the gateway accepted.
type received struct {
	method, target, host, body string
	length                     int64
	header                     http.Header
}

// gateway verifies requests as certgate does: it accepts a correctly signed request
// once and passes it to handler.
type gateway struct {
	*httptest.Server
	verifier *httpsig.Verifier
	trust    *trust.Verifier
	handler  http.HandlerFunc

	mu       sync.Mutex
	nonces   map[httpsig.Nonce]bool
	accepted []received
	refused  []refusal.Reason
}

func newGateway(t testing.TB, ca *pki.Authority) *gateway {
	t.Helper()
	ring := must[*trust.Keyring](t)(trust.ParseKeyring(ca.PublicKeyPEM(), 2048))
	g := &gateway{
		trust: trust.NewVerifier(ring, nil, trust.Limits{}), nonces: map[httpsig.Nonce]bool{},
		handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
	}
	g.verifier = &httpsig.Verifier{CredentialHeader: "X-SSL-Auth", ClockSkew: time.Minute, Nonces: g}
	g.Server = httptest.NewUnstartedServer(g)
	g.EnableHTTP2 = true
	t.Cleanup(func() { g.Close() })
	return g
}

// start starts the gateway without TLS.
func (g *gateway) start() *gateway { g.Start(); return g }

func (g *gateway) Use(n httpsig.Nonce) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := httpsig.Nonce{Key: n.Key, Value: n.Value}
	if g.nonces[key] {
		return refusal.New(refusal.ProofReplayed, "the nonce was used before")
	}
	g.nonces[key] = true
	return nil
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = g.verify(r, body)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		refused := refusal.Of(err)
		if refused == nil {
			http.Error(w, "fault", http.StatusBadRequest)
			return
		}
		g.refused = append(g.refused, refused.Reason)
		problem.Problem{Reason: refused.Reason, Status: refused.Reason.Status(), Header: "X-SSL-Auth"}.SetHeader(w.Header())
		w.WriteHeader(refused.Reason.Status())
		return
	}
	g.accepted = append(g.accepted, received{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header})
	g.handler(w, r)
}

func (g *gateway) verify(r *http.Request, body []byte) error {
	now := time.Now()
	chain, err := certheader.Parse(r.Header.Values(g.verifier.CredentialHeader), 16<<10)
	if err != nil {
		return err
	}
	verified, err := g.trust.Verify(chain.Leaf, now, chain.Intermediates...)
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
	_, err = g.verifier.Finish(checked, m, now)
	return err
}

// requests returns the requests that the gateway accepted, and the reasons of its
// refusals, since the last call.
func (g *gateway) requests() ([]received, []refusal.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	accepted, refused := g.accepted, g.refused
	g.accepted, g.refused = nil, nil
	return accepted, refused
}

// wantOne returns the only request since the last call, which was accepted.
func (g *gateway) wantOne(t *testing.T) received {
	t.Helper()
	accepted, refused := g.requests()
	if len(accepted) != 1 || len(refused) != 0 {
		t.Fatalf("want one request, found %d and refusals %v", len(accepted), refused)
	}
	return accepted[0]
}

// wantNone checks that no request has arrived since the last call.
func (g *gateway) wantNone(t *testing.T) {
	t.Helper()
	if accepted, refused := g.requests(); len(accepted)+len(refused) != 0 {
		t.Errorf("want no request, found %d and refusals %v", len(accepted), refused)
	}
}

// transport returns a transport to the gateway with its own connection pool.
func (g *gateway) transport(t *testing.T, c *signing.Credential) *signing.Transport {
	t.Helper()
	base := &http.Transport{}
	if g.TLS != nil {
		base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		base.TLSClientConfig.RootCAs.AddCert(g.Certificate())
		base.ForceAttemptHTTP2 = true
	}
	t.Cleanup(base.CloseIdleConnections)
	return &signing.Transport{Credential: c, Origin: g.URL, Base: base}
}
