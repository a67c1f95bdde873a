package assertion_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
)

func TestHeader(t *testing.T) {
	g := grant(t, mail(t), "all", "GET", "/events")
	for _, algorithm := range []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256} {
		t.Run(string(algorithm), func(t *testing.T) {
			text := keyPEM(t, algorithm)
			s := newSigner(t, func(o *assertion.Options) { o.Keys = parse(t, text) })
			header, _ := verified(t, assert(t, s, g, "bearer", assertion.Content{}), s.KeySet())
			id := sha256.Sum256(publicOf(t, text))
			want := map[string]any{"alg": string(algorithm), "kid": hex.EncodeToString(id[:]), "typ": "certgate+jwt"}
			if !reflect.DeepEqual(header, want) {
				t.Errorf("header %v, want %v", header, want)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	issuer := ca.New(t)
	cert := issuer.Client(t, ca.Key(t).Public())
	c := client(t, issuer, cert)
	digest := sha256.Sum256(cert.Raw)
	claims := func(auth string, more ...string) map[string]any {
		now := ca.Now().Unix()
		want := map[string]any{
			"iss": "https://gateway.example", "aud": "schedule", "sub": "mail", "iat": float64(now), "exp": float64(now + 60),
			"cnf":  map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])},
			"auth": auth, "rule": "apps <&> \"all\"", "key_id": c.Certificate().KeyID().String(),
		}
		for i := 0; i < len(more); i += 2 {
			want[more[i]] = more[i+1]
		}
		return want
	}
	const (
		empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
		abc   = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
	)
	whole := func(text string) assertion.Content { return assertion.Content{Bytes: []byte(text), Complete: true} }
	tests := []struct {
		name                 string
		bind                 bool
		auth, method, target string
		content              assertion.Content
		want                 map[string]any
	}{
		{"bearer", false, "bearer", "GET", "/events?a=1", assertion.Content{}, claims("bearer")},
		{"signed, with a body", false, "signed", "POST", "/events", whole("abc"), claims("signed")},
		{"mtls", false, "mtls", "GET", "/events", assertion.Content{}, claims("mtls")},
		{"bound, no body", true, "bearer", "GET", "/events", whole(""), claims("bearer", "htm", "GET", "htu", "/events", "body_sha256", empty)},
		{"bound, body", true, "signed", "POST", "/events", whole("abc"), claims("signed", "htm", "POST", "htu", "/events", "body_sha256", abc)},
		{"bound, unknown body", true, "bearer", "POST", "/events", assertion.Content{}, claims("bearer", "htm", "POST", "htu", "/events")},
		{"bound, a part of the body", true, "bearer", "POST", "/events", assertion.Content{Bytes: []byte("abc")}, claims("bearer", "htm", "POST", "htu", "/events")},
		{"bound, unusual target", true, "bearer", "GET", `/a%20b;c?x=1&y=<"\é>&&`, whole(""), claims("bearer", "htm", "GET", "htu", `/a%20b;c?x=1&y=<"\é>&&`, "body_sha256", empty)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSigner(t, func(o *assertion.Options) { o.Bind = tt.bind })
			g := grant(t, c, "apps <&> \"all\"", tt.method, tt.target)
			_, found := verified(t, assert(t, s, g, tt.auth, tt.content), s.KeySet())
			if !reflect.DeepEqual(found, tt.want) {
				t.Errorf("claims %v, want %v", found, tt.want)
			}
		})
	}
}

func TestAssertRefuses(t *testing.T) {
	tests := []struct {
		name  string
		bind  bool
		grant access.Grant
		want  refusal.Reason
	}{
		{"no grant", false, access.Grant{}, refusal.Internal},
		{"no grant, bound", true, access.Grant{}, refusal.Internal},
		{"a query that is not UTF-8, bound", true, grant(t, mail(t), "all", "GET", "/events?\xff"), refusal.RequestMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSigner(t, func(o *assertion.Options) { o.Bind = tt.bind })
			token, err := s.Assert(tt.grant, "bearer", assertion.Content{Complete: true})
			if e := refusal.Of(err); token != "" || e == nil || e.Reason != tt.want {
				t.Errorf("assertion %q and %v, want %s", token, err, tt.want)
			}
		})
	}
}

// TestTargetOutsideUTF8 checks that an assertion that does not contain the target has no
// condition on it.
func TestTargetOutsideUTF8(t *testing.T) {
	assert(t, newSigner(t), grant(t, mail(t), "all", "GET", "/events?\xff"), "bearer", assertion.Content{})
}

func TestNilSigner(t *testing.T) {
	var s *assertion.Signer
	token, err := s.Assert(grant(t, mail(t), "all", "GET", "/events"), "bearer", assertion.Content{})
	if token != "" || err != nil || s.KeySet() != nil || s.Binds() {
		t.Errorf("assertion %q, error %v, key set %q, binds %t: want nothing", token, err, s.KeySet(), s.Binds())
	}
}

// TestKeySet checks that the set has the public part of every key, and that the first key
// signs.
func TestKeySet(t *testing.T) {
	texts := [][]byte{keyPEM(t, jose.ES256), keyPEM(t, jose.EdDSA)}
	s := newSigner(t, func(o *assertion.Options) { o.Keys = parse(t, texts...) })
	var set struct{ Keys []map[string]string }
	decode(t, s.KeySet(), &set)
	want := []map[string]string{
		{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "", "x": "", "y": ""},
		{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "", "x": ""},
	}
	for i := range want {
		id := sha256.Sum256(publicOf(t, texts[i]))
		want[i]["kid"] = hex.EncodeToString(id[:])
		for _, coordinate := range []string{"x", "y"} {
			if _, ok := want[i][coordinate]; ok && i < len(set.Keys) {
				want[i][coordinate] = set.Keys[i][coordinate]
			}
		}
	}
	if !reflect.DeepEqual(set.Keys, want) {
		t.Errorf("keys %v, want %v", set.Keys, want)
	}
	header, _ := verified(t, assert(t, s, grant(t, mail(t), "all", "GET", "/"), "bearer", assertion.Content{}), s.KeySet())
	if header["kid"] != want[0]["kid"] {
		t.Errorf("signed by %v, want the first key %s", header["kid"], want[0]["kid"])
	}
}

func TestNewRefuses(t *testing.T) {
	key := parse(t, keyPEM(t, jose.EdDSA))[0]
	for _, keys := range [][]assertion.Key{nil, {key, key, key}} {
		if _, err := assertion.New(assertion.Options{Keys: keys}); err == nil || !strings.Contains(err.Error(), "want 1 or 2 assertion keys") {
			t.Errorf("%d keys: error %v, want the number", len(keys), err)
		}
	}
}
