package service_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/cmd/certgate/service"
)

const (
	issuer   = "https://gateway.example"
	audience = "schedule"
	token    = "X-Client-Assertion"
)

// issued is the iat of assertions in tests.
func issued() time.Time { return time.Unix(1_800_000_000, 0) }

// signingKey is a key of the gateway.
type signingKey struct {
	id      string
	private crypto.Signer
	alg     jose.SignatureAlgorithm
}

func newKey(tb testing.TB, id string, alg jose.SignatureAlgorithm) signingKey {
	tb.Helper()
	k := signingKey{id: id, alg: alg}
	var err error
	if alg == jose.EdDSA {
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	} else {
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// keySet returns the JWK set with the public keys.
func keySet(tb testing.TB, keys ...signingKey) []byte {
	tb.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Use: "sig", Algorithm: string(k.alg)})
	}
	return encode(tb, set)
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// sign returns a token with the claims. A header without changes is that of an assertion.
func (k signingKey) sign(tb testing.TB, claims map[string]any, changes ...func(*jose.SignerOptions)) string {
	tb.Helper()
	options := (&jose.SignerOptions{}).WithType("certgate+jwt").WithHeader("kid", k.id)
	for _, change := range changes {
		change(options)
	}
	return signWith(tb, k.alg, k.private, options, claims)
}

func signWith(tb testing.TB, alg jose.SignatureAlgorithm, key any, options *jose.SignerOptions, claims any) string {
	tb.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := signer.Sign(encode(tb, claims))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// claims returns the claims of a valid assertion with changes. A nil value removes a claim.
func claims(changes map[string]any) map[string]any {
	digest := sha256.Sum256([]byte("certificate"))
	c := map[string]any{
		"iss": issuer, "aud": audience, "sub": "mail", "iat": issued().Unix(), "exp": issued().Unix() + 60,
		"cnf":  map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])},
		"auth": "signed", "rule": "apps-add-events", "key_id": strings.Repeat("0c", 32),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// bound returns the claims of an assertion for one request.
func bound(method, target, body string) map[string]any {
	digest := sha256.Sum256([]byte(body))
	return claims(map[string]any{"htm": method, "htu": target, "body_sha256": base64.RawURLEncoding.EncodeToString(digest[:])})
}

// newVerifier returns a verifier whose clock stands at the iat of assertions.
func newVerifier(tb testing.TB, set []byte, changes ...func(*service.Options)) *service.Verifier {
	tb.Helper()
	o := service.Options{KeySet: set, Issuer: issuer, Audience: audience, Now: issued}
	for _, change := range changes {
		change(&o)
	}
	v, err := service.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// request returns a request as a server receives it.
func request(method, target, body string, tokens ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, t := range tokens {
		r.Header.Add(token, t)
	}
	return r
}

// reasonOf returns the reason of a refusal, or "" for a nil error.
func reasonOf(tb testing.TB, err error) service.Reason {
	tb.Helper()
	if err == nil {
		return ""
	}
	r, ok := errors.AsType[*service.Error](err)
	if !ok {
		tb.Fatalf("want a refusal, found %v", err)
	}
	return r.Reason
}
