package assertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// keyPEM returns a new private key as PKCS #8.
func keyPEM(tb testing.TB, algorithm jose.SignatureAlgorithm) []byte {
	tb.Helper()
	var key any
	var err error
	if algorithm == jose.EdDSA {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pkcs8(tb, key)
}

func pkcs8(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parse returns the keys in the texts, in their order.
func parse(tb testing.TB, texts ...[]byte) []assertion.Key {
	tb.Helper()
	keys, err := assertion.ParseKeys(slices.Concat(texts...))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// clock is a clock that a test sets.
type clock struct{ now time.Time }

// newSigner returns a signer with a new Ed25519 key, after the changes.
func newSigner(tb testing.TB, changes ...func(*assertion.Options)) *assertion.Signer {
	tb.Helper()
	o := assertion.Options{
		Keys:   parse(tb, keyPEM(tb, jose.EdDSA)),
		Issuer: "https://gateway.example", Audience: "schedule", Now: ca.Now,
	}
	for _, change := range changes {
		change(&o)
	}
	s, err := assertion.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func bound(o *assertion.Options) { o.Bind = true }

func (c *clock) set(o *assertion.Options) { o.Now = func() time.Time { return c.now } }

// client returns the client of a certificate that the CA issued.
func client(tb testing.TB, issuer ca.CA, cert *x509.Certificate) identity.Client {
	tb.Helper()
	ring, err := trust.ParseKeyring(issuer.PublicKeyPEM(), 0)
	if err != nil {
		tb.Fatal(err)
	}
	verified, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(cert, ca.Now())
	if err != nil {
		tb.Fatal(err)
	}
	c, err := identity.OU.Reader().Of(verified)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// mail returns a client called mail with its own CA.
func mail(tb testing.TB) identity.Client {
	tb.Helper()
	issuer := ca.New(tb)
	return client(tb, issuer, issuer.Client(tb, ca.Key(tb).Public()))
}

// grant returns the grant of a rule that allows the client one request.
func grant(tb testing.TB, c identity.Client, rule, method, target string) access.Grant {
	tb.Helper()
	policy, err := access.Compile([]access.Rule{{Name: rule, Clients: []string{access.Everyone}, Allow: []string{method + " /"}}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := access.ParseTarget(target)
	if err != nil {
		tb.Fatal(err)
	}
	g, err := policy.Decide(c, method, parsed)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// assert returns an assertion without an error.
func assert(tb testing.TB, s *assertion.Signer, g access.Grant, auth string, content assertion.Content) string {
	tb.Helper()
	token, err := s.Assert(g, auth, content)
	if err != nil || token == "" {
		tb.Fatalf("assertion %q and %v, want an assertion", token, err)
	}
	return token
}

// verified returns the header and the claims of a token, after it verified the signature
// with the key of the JWK set that the header names.
func verified(tb testing.TB, token string, keySet []byte) (header, claims map[string]any) {
	tb.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		tb.Fatal(err)
	}
	decode(tb, text, &header)
	var set jose.JSONWebKeySet
	decode(tb, keySet, &set)
	kid, _ := header["kid"].(string)
	keys := set.Key(kid)
	if len(keys) != 1 {
		tb.Fatalf("%d keys with the id %q, want one", len(keys), kid)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(keys[0].Algorithm)})
	if err != nil {
		tb.Fatal(err)
	}
	payload, err := signed.Verify(keys[0])
	if err != nil {
		tb.Fatal(err)
	}
	decode(tb, payload, &claims)
	return header, claims
}

func decode(tb testing.TB, text []byte, into any) {
	tb.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatalf("%q: %v", text, err)
	}
}

// publicOf returns the DER of the public key in a PKCS #8 block.
func publicOf(tb testing.TB, text []byte) []byte {
	tb.Helper()
	b, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
