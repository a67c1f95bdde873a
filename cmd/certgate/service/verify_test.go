package service_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/internal/proxy/assertion"
)

// TestVerify checks the client of valid assertions.
func TestVerify(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			k := newKey(t, "a", alg)
			r := request("GET", "/events", "", k.sign(t, claims(map[string]any{"later": "ignored"})))
			r.Header.Set("X-Client-Id", "mail")
			verified, err := newVerifier(t, keySet(t, newKey(t, "b", alg), k)).Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			found, ok := service.Client(verified.Context())
			want := service.Identity{
				Name: "mail", Auth: "signed", Rule: "apps-add-events",
				Certificate: sha256.Sum256([]byte("certificate")), KeyID: strings.Repeat("0c", 32),
			}
			if found != want || !ok {
				t.Errorf("client %+v, %t: want %+v", found, ok, want)
			}
			if _, ok := service.Client(r.Context()); ok {
				t.Error("want no client in the request that was not verified")
			}
		})
	}
}

// TestType checks that the verifier and the gateway agree on the type of assertions.
func TestType(t *testing.T) {
	k := newKey(t, "a", jose.EdDSA)
	_, err := newVerifier(t, keySet(t, k)).Verify(request("GET", "/", "", k.sign(t, claims(nil), func(o *jose.SignerOptions) { o.WithType(assertion.Type) })))
	if err != nil {
		t.Errorf("want the type %s accepted, found %v", assertion.Type, err)
	}
}

// TestVerifyClaims checks each claim. Each case differs from a valid assertion in one claim.
func TestVerifyClaims(t *testing.T) {
	at := issued().Unix()
	tests := []struct {
		name   string
		change map[string]any
		want   service.Reason
	}{
		{"valid", nil, ""},
		{"another issuer", map[string]any{"iss": issuer + "/"}, service.WrongIssuer},
		{"no issuer", map[string]any{"iss": nil}, service.WrongIssuer},
		{"another audience", map[string]any{"aud": "billing"}, service.WrongAudience},
		{"no audience", map[string]any{"aud": nil}, service.WrongAudience},
		{"a list of audiences", map[string]any{"aud": []string{audience, "billing"}}, service.InvalidClaims},
		{"expired within the leeway", map[string]any{"iat": at - 64, "exp": at - 4}, ""},
		{"expired", map[string]any{"iat": at - 65, "exp": at - 5}, service.Expired},
		{"future within the leeway", map[string]any{"iat": at + 5, "exp": at + 65}, ""},
		{"future", map[string]any{"iat": at + 6, "exp": at + 66}, service.Future},
		{"too long", map[string]any{"exp": at + 61}, service.TooLong},
		{"the difference overflows", map[string]any{"iat": -1 << 63}, service.InvalidClaims},
		{"no iat", map[string]any{"iat": nil}, service.InvalidClaims},
		{"no exp", map[string]any{"exp": nil}, service.InvalidClaims},
		{"exp as text", map[string]any{"exp": "1800000060"}, service.InvalidClaims},
		{"exp before iat", map[string]any{"exp": at}, service.InvalidClaims},
		{"no sub", map[string]any{"sub": nil}, service.InvalidClaims},
		{"sub in another case", map[string]any{"sub": nil, "SUB": "mail"}, service.InvalidClaims},
		{"no rule", map[string]any{"rule": nil}, service.InvalidClaims},
		{"no key_id", map[string]any{"key_id": nil}, service.InvalidClaims},
		{"no auth", map[string]any{"auth": nil}, service.InvalidClaims},
		{"unknown auth", map[string]any{"auth": "password"}, service.InvalidClaims},
		{"no cnf", map[string]any{"cnf": nil}, service.InvalidClaims},
		{"a short hash", map[string]any{"cnf": map[string]any{"x5t#S256": "AAAA"}}, service.InvalidClaims},
		{"an invalid hash", map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("=", 43)}}, service.InvalidClaims},
		{"htm only", map[string]any{"htm": "GET"}, service.WrongRequest},
		{"htu only", map[string]any{"htu": "/"}, service.WrongRequest},
	}
	k := newKey(t, "a", jose.EdDSA)
	v := newVerifier(t, keySet(t, k))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(request("GET", "/", "", k.sign(t, claims(tt.change))))
			if found := reasonOf(t, err); found != tt.want {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}

// TestVerifyTokens checks the header and the signature. Each case differs from a valid
// assertion in one way.
func TestVerifyTokens(t *testing.T) {
	ed, ec, unknown := newKey(t, "ed", jose.EdDSA), newKey(t, "ec", jose.ES256), newKey(t, "unknown", jose.EdDSA)
	impostor, crossed := newKey(t, "ed", jose.EdDSA), newKey(t, "ed", jose.ES256)
	valid := ed.sign(t, claims(nil))
	parts := strings.Split(valid, ".")
	public, err := x509.MarshalPKIXPublicKey(ec.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"certgate+jwt","kid":"ed"}`))
	header := func(set func(*jose.SignerOptions)) []string { return []string{ed.sign(t, claims(nil), set)} }
	tests := []struct {
		name   string
		tokens []string
		want   service.Reason
	}{
		{"Ed25519", []string{valid}, ""},
		{"P-256", []string{ec.sign(t, claims(nil))}, ""},
		{"none", nil, service.Missing},
		{"two lines", []string{valid, valid}, service.Malformed},
		{"two in one line", []string{valid + ", " + valid}, service.Malformed},
		{"empty", []string{""}, service.Malformed},
		{"JSON serialization", []string{`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`}, service.Malformed},
		{"too long", []string{ed.sign(t, claims(map[string]any{"more": strings.Repeat("a", 32<<10)}))}, service.Malformed},
		{"no signature", []string{parts[0] + "." + parts[1] + "."}, service.InvalidSignature},
		{"other claims", []string{parts[0] + "." + base64.RawURLEncoding.EncodeToString(encode(t, claims(map[string]any{"sub": "social"}))) + "." + parts[2]}, service.InvalidSignature},
		{"alg none", []string{none + "." + parts[1] + "."}, service.Malformed},
		{"HS256 with the public key", []string{signWith(t, jose.HS256, public, (&jose.SignerOptions{}).WithType("certgate+jwt").WithHeader("kid", "ec"), claims(nil))}, service.Malformed},
		{"no kid", header(func(o *jose.SignerOptions) { delete(o.ExtraHeaders, "kid") }), service.UnknownKey},
		{"unknown key", []string{unknown.sign(t, claims(nil))}, service.UnknownKey},
		{"another key with a known kid", []string{impostor.sign(t, claims(nil))}, service.InvalidSignature},
		{"another algorithm than the key's", []string{crossed.sign(t, claims(nil))}, service.Malformed},
		{"another type", header(func(o *jose.SignerOptions) { o.WithType("JWT") }), service.Malformed},
		{"no type", header(func(o *jose.SignerOptions) { delete(o.ExtraHeaders, jose.HeaderType) }), service.Malformed},
		{"a type that is no text", header(func(o *jose.SignerOptions) { o.WithHeader(jose.HeaderType, 1) }), service.Malformed},
		{"an unknown critical extension", header(func(o *jose.SignerOptions) { o.WithCritical("exp") }), service.InvalidSignature},
		{"its own key in the header", []string{impostor.sign(t, claims(nil), func(o *jose.SignerOptions) { o.EmbedJWK = true })}, service.InvalidSignature},
	}
	v := newVerifier(t, keySet(t, ed, ec))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(request("GET", "/", "", tt.tokens...))
			if found := reasonOf(t, err); found != tt.want {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}

// TestVerifyRequest compares assertions with the request that has them.
func TestVerifyRequest(t *testing.T) {
	k := newKey(t, "a", jose.EdDSA)
	const target = "/a%20b;c?x=1&y=%2f"
	part := func(names ...string) map[string]any {
		c := bound("POST", target, "body")
		for _, name := range names {
			delete(c, name)
		}
		return c
	}
	tests := []struct {
		name         string
		claims       map[string]any
		method, path string
		body         string
		clients      []string // X-Client-Id
		want         service.Reason
	}{
		{"the same request", bound("POST", target, "body"), "POST", target, "body", []string{"mail"}, ""},
		{"the same request without a body", bound("GET", target, ""), "GET", target, "", nil, ""},
		{"a body of unknown digest", part("body_sha256"), "POST", target, "another", nil, ""},
		{"not bound", claims(nil), "POST", target, "body", nil, service.Unbound},
		{"another method", bound("POST", target, "body"), "PUT", target, "body", nil, service.WrongRequest},
		{"another path", bound("POST", target, "body"), "POST", "/other", "body", nil, service.WrongRequest},
		{"another query", bound("POST", target, "body"), "POST", target + "&z", "body", nil, service.WrongRequest},
		{"an equivalent target", bound("POST", target, "body"), "POST", "/a%20b;c?x=1&y=/", "body", nil, service.WrongRequest},
		{"another body", bound("POST", target, "body"), "POST", target, "boDy", nil, service.WrongRequest},
		{"a longer body", bound("POST", target, "body"), "POST", target, "body and more", nil, service.WrongRequest},
		{"no body", bound("POST", target, "body"), "POST", target, "", nil, service.WrongRequest},
		{"a body above the limit", bound("POST", target, strings.Repeat("a", 17)), "POST", target, strings.Repeat("a", 17), nil, service.WrongRequest},
		{"no htm", part("htm"), "POST", target, "body", nil, service.WrongRequest},
		{"no htu", part("htu"), "POST", target, "body", nil, service.WrongRequest},
		{"no htm and no htu", part("htm", "htu"), "POST", target, "body", nil, service.WrongRequest},
		{"another client in X-Client-Id", bound("POST", target, "body"), "POST", target, "body", []string{"social"}, service.WrongClient},
		{"two clients in X-Client-Id", bound("POST", target, "body"), "POST", target, "body", []string{"mail", "mail"}, service.WrongClient},
	}
	v := newVerifier(t, keySet(t, k), func(o *service.Options) { o.RequireBound, o.MaxBodyBytes = true, 16 })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(tt.method, tt.path, tt.body, k.sign(t, tt.claims))
			r.Header["X-Client-Id"] = tt.clients
			verified, err := v.Verify(r)
			if found := reasonOf(t, err); found != tt.want {
				t.Fatalf("want %q, found %v", tt.want, err)
			}
			if err != nil {
				return
			}
			if body, err := io.ReadAll(verified.Body); string(body) != tt.body || err != nil {
				t.Errorf("want the body %q for the handler, found %q and %v", tt.body, body, err)
			}
		})
	}
}

// TestBoundIsAlwaysCompared checks that a bound assertion cannot be used for another request
// where the service does not require binding.
func TestBoundIsAlwaysCompared(t *testing.T) {
	k := newKey(t, "a", jose.EdDSA)
	_, err := newVerifier(t, keySet(t, k)).Verify(request("GET", "/other", "", k.sign(t, bound("GET", "/events", ""))))
	if found := reasonOf(t, err); found != service.WrongRequest {
		t.Errorf("want %s, found %v", service.WrongRequest, err)
	}
}

// TestBrokenBody checks that a body that does not arrive completely is refused.
func TestBrokenBody(t *testing.T) {
	k := newKey(t, "a", jose.EdDSA)
	r := request("POST", "/events", "", k.sign(t, bound("POST", "/events", "body")))
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), brokenReader{}))
	_, err := newVerifier(t, keySet(t, k)).Verify(r)
	if found := reasonOf(t, err); found != service.WrongRequest || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("want %s and the error of the body, found %v", service.WrongRequest, err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestNewRefuses(t *testing.T) {
	set := keySet(t, newKey(t, "a", jose.EdDSA))
	twice := keySet(t, newKey(t, "a", jose.EdDSA), newKey(t, "a", jose.ES256))
	const url = "https://gateway.example/.well-known/jwks.json"
	tests := []struct {
		name   string
		change func(*service.Options)
		want   string
	}{
		{"no issuer", func(o *service.Options) { o.Issuer = "" }, "want an issuer and an audience"},
		{"no audience", func(o *service.Options) { o.Audience = "" }, "want an issuer and an audience"},
		{"no keys", func(o *service.Options) { o.KeySet = nil }, "want the URL of a JWK set or the set itself"},
		{"a set and an URL", func(o *service.Options) { o.KeySetURL = url }, "want the URL of a JWK set or the set itself"},
		{"another scheme", func(o *service.Options) { o.KeySet, o.KeySetURL = nil, "file:///jwks.json" }, "want an http or https URL"},
		{"no host", func(o *service.Options) { o.KeySet, o.KeySetURL = nil, "https:///jwks.json" }, "want an http or https URL"},
		{"a long leeway", func(o *service.Options) { o.Leeway = time.Minute }, "want a leeway of at most 30s, found 1m0s"},
		{"a negative leeway", func(o *service.Options) { o.Leeway = -1 }, "want a leeway"},
		{"a negative limit", func(o *service.Options) { o.MaxBodyBytes = -1 }, "want a positive limit for bodies"},
		{"a set that is no JSON", func(o *service.Options) { o.KeySet = []byte("<html>") }, "the JWK set: invalid character"},
		{"an empty set", func(o *service.Options) { o.KeySet = []byte(`{"keys":[]}`) }, "want an Ed25519 or P-256 public key"},
		{"two keys with one kid", func(o *service.Options) { o.KeySet = twice }, `found two for "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := service.Options{KeySet: set, Issuer: issuer, Audience: audience}
			tt.change(&o)
			if _, err := service.New(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}

// TestKeysThatAreIgnored checks that only public signing keys of the two types are used.
func TestKeysThatAreIgnored(t *testing.T) {
	k := newKey(t, "a", jose.ES256)
	jwk := func(change func(*jose.JSONWebKey)) jose.JSONWebKey {
		j := jose.JSONWebKey{Key: k.private.Public(), KeyID: "a", Use: "sig", Algorithm: "ES256"}
		change(&j)
		return j
	}
	tests := []struct {
		name string
		key  any
		want service.Reason
	}{
		{"usual", jwk(func(*jose.JSONWebKey) {}), ""},
		{"no use and alg", jwk(func(j *jose.JSONWebKey) { j.Use, j.Algorithm = "", "" }), ""},
		{"for encryption", jwk(func(j *jose.JSONWebKey) { j.Use = "enc" }), service.UnknownKey},
		{"for another algorithm", jwk(func(j *jose.JSONWebKey) { j.Algorithm = "HS256" }), service.UnknownKey},
		{"private", jwk(func(j *jose.JSONWebKey) { j.Key = k.private }), service.UnknownKey},
		{"symmetric", jwk(func(j *jose.JSONWebKey) { j.Key, j.Algorithm = []byte("secret"), "" }), service.UnknownKey},
		{"unknown type", map[string]string{"kty": "new", "kid": "a"}, service.UnknownKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := jose.JSONWebKey{Key: newKey(t, "b", jose.EdDSA).private.Public(), KeyID: "b"}
			v := newVerifier(t, encode(t, map[string]any{"keys": []any{tt.key, other}}))
			_, err := v.Verify(request("GET", "/", "", k.sign(t, claims(nil))))
			if found := reasonOf(t, err); found != tt.want {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}
