package httpsig_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// now is the time of every request, unless a test sets another.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testClient is one client: its key, its certificate and its verified identity.
type testClient struct {
	key    crypto.Signer
	cert   *x509.Certificate
	client identity.Client
}

// issuer issues certificates with the master key.
type issuer struct {
	tb   testing.TB
	key  crypto.Signer
	ring *trust.Keyring
}

func newIssuer(tb testing.TB) issuer {
	tb.Helper()
	return newIssuerOf(tb, p256(tb))
}

func newIssuerOf(tb testing.TB, key crypto.Signer) issuer {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	ring, err := trust.ParseKeyring(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return issuer{tb: tb, key: key, ring: ring}
}

// issue issues a certificate for the key, for the client named mail.
func (i issuer) issue(key crypto.Signer) testClient {
	i.tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), i.key)
	if err != nil {
		i.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.tb.Fatal(err)
	}
	verified, err := trust.NewVerifier(i.ring, nil, trust.Limits{MinRSABits: 1024}).Verify(cert, now)
	if err != nil {
		i.tb.Fatal(err)
	}
	client, err := identity.OU.Reader().Of(verified)
	if err != nil {
		i.tb.Fatal(err)
	}
	return testClient{key: key, cert: cert, client: client}
}

// newParty returns a client with a P-256 key.
func newParty(tb testing.TB) testClient {
	tb.Helper()
	return newIssuer(tb).issue(p256(tb))
}

func p256(tb testing.TB) crypto.Signer { tb.Helper(); return ec(tb, elliptic.P256()) }

func ec(tb testing.TB, curve elliptic.Curve) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func rsaKey(tb testing.TB, bits int) crypto.Signer {
	tb.Helper()
	if bits == 2048 {
		return ca.RSAKey(tb, bits, 0)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func edKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// kind is one algorithm and a function that generates a key for it.
type kind struct {
	name   string
	legacy bool
	key    func(testing.TB) crypto.Signer
}

func kinds() []kind {
	return []kind{
		{"ed25519", false, edKey},
		{"ecdsa-p256-sha256", false, p256},
		{"ecdsa-p384-sha384", false, func(tb testing.TB) crypto.Signer { tb.Helper(); return ec(tb, elliptic.P384()) }},
		{"rsa-pss-sha512", false, func(tb testing.TB) crypto.Signer { tb.Helper(); return rsaKey(tb, 2048) }},
		{"rsa-v1_5-sha256", true, func(tb testing.TB) crypto.Signer { tb.Helper(); return rsaKey(tb, 2048) }},
	}
}

// nonces accepts each nonce once and counts the calls of Use.
type nonces struct {
	mu    sync.Mutex
	used  map[string]httpsig.Nonce
	calls int
	err   error // if set, returned by Use
}

func (n *nonces) Use(one httpsig.Nonce) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if n.err != nil {
		return n.err
	}
	id := one.Key.String() + one.Value
	if _, used := n.used[id]; used {
		return refusal.New(refusal.ProofReplayed, "used before")
	}
	if n.used == nil {
		n.used = map[string]httpsig.Nonce{}
	}
	n.used[id] = one
	return nil
}

func newVerifier() (*httpsig.Verifier, *nonces) {
	n := &nonces{}
	return &httpsig.Verifier{CredentialHeader: "X-SSL-Auth", ClockSkew: time.Minute, Nonces: n}, n
}

// target is a request target with 101 query parameters.
var target = "/events?draft=1" + strings.Join(numbered("&p%d=", 100), "")

func numbered(format string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

const event = `{"event":{"name":"Meeting"}}`

// post returns a request with a body and the client's certificate.
func post(p testClient) httpsig.Message {
	return httpsig.Message{
		Method: "POST", Target: target, Authority: "schedule.example.com",
		Header: http.Header{
			"X-Ssl-Auth":   {base64.StdEncoding.EncodeToString(p.cert.Raw)},
			"Content-Type": {"application/json"},
		},
		HasBody: true, Body: content(event),
	}
}

func content(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// get returns a request without a body.
func get(p testClient) httpsig.Message {
	m := post(p)
	m.Method, m.HasBody, m.Body = "GET", false, content("")
	delete(m.Header, "Content-Type")
	return m
}

// terms returns fixed signature parameters.
func terms() httpsig.Terms { return httpsig.Terms{Created: now, Nonce: "b3k2pp5k7z-50gnwp.yemd"} }

// sign returns the message with the signature fields in a copy of its header.
func (p testClient) sign(tb testing.TB, m httpsig.Message, t httpsig.Terms) httpsig.Message {
	tb.Helper()
	s, err := httpsig.NewSigner(p.cert, p.key, "X-SSL-Auth")
	if err != nil {
		tb.Fatal(err)
	}
	fields, err := s.Sign(m, t)
	if err != nil {
		tb.Fatal(err)
	}
	return with(m, fields)
}

// with returns the message with fields replaced in a copy of its header.
func with(m httpsig.Message, fields http.Header) httpsig.Message {
	header := http.Header{}
	for name, lines := range m.Header {
		header[name] = slices.Clone(lines)
	}
	maps.Copy(header, fields)
	m.Header = header
	return m
}

// prove runs Read, Check and Finish.
func prove(v *httpsig.Verifier, m httpsig.Message, c identity.Client, at time.Time) (httpsig.Verified, error) {
	s, err := v.Read(m, at)
	if err != nil {
		return httpsig.Verified{}, err
	}
	checked, err := v.Check(s, m, c)
	if err != nil {
		return httpsig.Verified{}, err
	}
	return v.Finish(checked, m, at)
}

// wantReason asserts the reason of a refusal, or no error if want is "".
func wantReason(tb testing.TB, err error, want refusal.Reason) {
	tb.Helper()
	if want == "" {
		if err != nil {
			tb.Errorf("want no error, found %v", err)
		}
		return
	}
	if refused := refusal.Of(err); refused == nil || refused.Reason != want {
		tb.Errorf("want %s, found %v", want, err)
	}
}

// resign returns the message with another Signature-Input and signs sig1 again with the
// client's key. If the input has no signature base, the signature is a placeholder.
func (p testClient) resign(tb testing.TB, m httpsig.Message, lines ...string) httpsig.Message {
	tb.Helper()
	return p.resignLegacy(tb, m, false, lines...)
}

func (p testClient) resignLegacy(tb testing.TB, m httpsig.Message, legacyRSA bool, lines ...string) httpsig.Message {
	tb.Helper()
	m = with(m, http.Header{"Signature-Input": lines, "Signature": {"sig1=:AAAA:"}})
	base, _, err := httpsig.SignatureBase(m, "sig1")
	if err != nil {
		return m
	}
	signature, err := httpsig.Sign(p.key, legacyRSA, base)
	if err != nil {
		tb.Fatal(err)
	}
	m.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(signature)+":")
	return m
}

// wantDetail asserts that the detail of a refusal contains want. It distinguishes checks
// with the same reason.
func wantDetail(tb testing.TB, err error, want string) {
	tb.Helper()
	if refused := refusal.Of(err); refused == nil || !strings.Contains(refused.Detail, want) {
		tb.Errorf("want a refusal about %s, found %v", want, err)
	}
}
