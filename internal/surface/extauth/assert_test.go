package extauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// asserting returns a change that turns assertions on.
func asserting(t *testing.T, bind bool) func(*fixture) {
	t.Helper()
	keys, err := assertion.ParseKeys(ca.KeyPEM(t, ca.Key(t)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := assertion.New(assertion.Options{Keys: keys, Issuer: "gateway", Audience: "service", Bind: bind})
	if err != nil {
		t.Fatal(err)
	}
	return func(b *fixture) { b.options.Signer = func() *assertion.Signer { return s } }
}

// wantClaims checks some claims of an assertion. A nil value means that the claim is absent.
func wantClaims(t *testing.T, token string, want map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("assertion %q, want three parts", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("%s is %v, want %v", name, claims[name], value)
		}
	}
}

// TestVerifyAssertion checks the assertion in the response of /verify. It never has a digest
// of the body, because the proxy's request does not contain the body.
func TestVerifyAssertion(t *testing.T) {
	w := newCertificates(t)
	for _, bind := range []bool{false, true} {
		b := newFixture(t, asserting(t, bind))
		res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events?a=1"), "X-SSL-Auth: "+encode(w.mail),
			"X-Client-Assertion: forged", "Connection: X-Client-Assertion")...))
		want := map[string]any{"iss": "gateway", "aud": "service", "sub": "mail", "auth": "bearer", "rule": "events", "htm": nil, "htu": nil, "body_sha256": nil}
		if bind {
			want["htm"], want["htu"] = "GET", "/events?a=1"
		}
		if values := res.Header["X-Client-Assertion"]; res.StatusCode != http.StatusOK || len(values) != 1 {
			t.Fatalf("status %d, assertions %q: want 200 and one", res.StatusCode, values)
		}
		wantClaims(t, res.Header.Get("X-Client-Assertion"), want)
	}
}

// TestNoAssertion checks that a response has no assertion if assertions are not configured
// or if the request is refused.
func TestNoAssertion(t *testing.T) {
	w := newCertificates(t)
	tests := []struct {
		name   string
		change func(*fixture)
		target string
		status int
	}{
		{"not configured", nil, "/events", http.StatusOK},
		{"configured without a key", func(b *fixture) { b.options.Signer = func() *assertion.Signer { return nil } }, "/events", http.StatusOK},
		{"refused", asserting(t, false), "/other", http.StatusForbidden},
		{"cannot be bound", asserting(t, true), "/events?\xff", http.StatusForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.change)
			res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", tt.target), "X-SSL-Auth: "+encode(w.mail))...))
			if values := res.Header["X-Client-Assertion"]; res.StatusCode != tt.status || len(values) != 0 {
				t.Errorf("status %d, assertions %q: want %d and none", res.StatusCode, values, tt.status)
			}
			if tt.status != http.StatusOK && res.Header.Get("X-Client-Id") != "" {
				t.Errorf("X-Client-Id %q in a refusal", res.Header.Get("X-Client-Id"))
			}
		})
	}
}

// TestEnvoyAssertion checks the assertion in the response for Envoy. It contains the digest
// of the body only if Envoy sends all of it.
func TestEnvoyAssertion(t *testing.T) {
	digest := sha256.Sum256([]byte("body"))
	encoded := base64.RawURLEncoding.EncodeToString(digest[:])
	tests := []struct {
		name   string
		bind   bool
		body   string
		fields []string // names and values
		want   map[string]any
	}{
		{"not bound", false, "body", nil, map[string]any{"sub": "mail", "htm": nil, "htu": nil, "body_sha256": nil}},
		{"bound", true, "body", nil, map[string]any{"sub": "mail", "htm": "GET", "htu": "/events?a=1", "body_sha256": encoded}},
		{"bound, no body seen", true, "", nil, map[string]any{"htm": "GET", "htu": "/events?a=1", "body_sha256": nil}},
		{"bound, a part of the body", true, "body", []string{"x-envoy-auth-partial-body", "true"}, map[string]any{"htm": "GET", "body_sha256": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newFixture(t, asserting(t, tt.bind)).serveEnvoy(t)
			r := encodeRaw(newCheck(t))
			httpOf(r).RawBody = []byte(tt.body)
			addRaw(r, "x-client-assertion", "forged")
			addRaw(r, "x_client_assertion", "forged")
			for i := 0; i < len(tt.fields); i += 2 {
				addRaw(r, tt.fields[i], tt.fields[i+1])
			}
			ok := check(t, c, r).GetOkResponse()
			wantClaims(t, headersOf(t, ok.GetHeaders())["x-client-assertion"], tt.want)
			removed := ok.GetHeadersToRemove()
			if slices.Contains(removed, "x-client-assertion") || !slices.Contains(removed, "x_client_assertion") {
				t.Errorf("headers to remove %q, want the other spelling only", removed)
			}
		})
	}
}

// TestDroppedContent checks that content that was dropped is not taken for no content.
func TestDroppedContent(t *testing.T) {
	r := request{body: receivedBody{err: refusal.New(refusal.Overloaded, "dropped")}}
	if content := r.content(); content.Complete {
		t.Errorf("content %v, want it unknown", content)
	}
}
