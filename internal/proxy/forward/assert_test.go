package forward_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// newSigner returns a signer with a new key.
func newSigner(tb testing.TB, bind bool) *assertion.Signer {
	tb.Helper()
	keys, err := assertion.ParseKeys(ca.KeyPEM(tb, ca.Key(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	s, err := assertion.New(assertion.Options{Keys: keys, Issuer: "gateway", Audience: "service", Bind: bind})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// newAssertingForwarder returns a Forwarder whose requests carry assertions.
func newAssertingForwarder(t *testing.T, w route, s *assertion.Signer, hosts ...string) *forward.Forwarder {
	t.Helper()
	f := forward.New(forward.Options{
		Pool: pool(hosts...), Timeout: time.Minute, MaxBodyBytes: 1 << 20, FastPath: true,
		Signer: func() *assertion.Signer { return s },
	})
	if w == netHTTP {
		f.UseTransport()
	}
	t.Cleanup(f.Close)
	return f
}

// claimsIn returns the claims of the only assertion in a header.
func claimsIn(t *testing.T, h http.Header) map[string]any {
	t.Helper()
	values := h["X-Client-Assertion"]
	if len(values) != 1 || strings.Count(values[0], ".") != 2 {
		t.Fatalf("assertions %q, want one", values)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(values[0], ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestAssertion checks which requests carry an assertion, and in which the digest of the body
// is known.
func TestAssertion(t *testing.T) {
	small, large := "abc", strings.Repeat("x", 64<<10+1)
	tests := []struct {
		name           string
		bind           bool
		body           string
		chunked, held  bool
		wantBodyDigest bool
	}{
		{name: "not bound", body: small},
		{name: "not bound, no body"},
		{name: "bound, no body", bind: true, wantBodyDigest: true},
		{name: "bound, small body", bind: true, body: small, wantBodyDigest: true},
		{name: "bound, longest small body", bind: true, body: large[1:], wantBodyDigest: true},
		{name: "bound, large body", bind: true, body: large},
		{name: "bound, large body that is held", bind: true, body: large, held: true, wantBodyDigest: true},
		{name: "bound, chunked body", bind: true, body: small, chunked: true},
		{name: "bound, chunked body that is held", bind: true, body: small, chunked: true, held: true, wantBodyDigest: true},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			got, content := make(chan *http.Request, 1), make(chan string, 1)
			up := upstream.Answering(t, func(r *http.Request, body string) string {
				got <- r
				content <- body
				return rawhttp.Empty
			})
			f := newAssertingForwarder(t, w, newSigner(t, tt.bind), up.Addr)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events?a=%20&b", strings.NewReader(tt.body))
			if tt.chunked {
				r.ContentLength = -1
			}
			r.Header.Set("Connection", "X-Client-Assertion")
			r.Header.Set("X-Client-Assertion", "forged")
			recorder := httptest.NewRecorder()
			b := f.Body(recorder, r)
			defer b.Release()
			if tt.held {
				if _, err := b.Hold("mail"); err != nil {
					t.Fatal(err)
				}
			}
			g, err := grant(http.MethodPost, "/events?a=%20&b")
			if err != nil {
				t.Fatal(err)
			}
			if result := f.Forward(recorder, r, b, g, &hop); result.Err != nil {
				t.Fatal(result.Err)
			}
			claims := claimsIn(t, (<-got).Header)
			if received := <-content; received != tt.body {
				t.Errorf("the upstream got %d bytes, want %d", len(received), len(tt.body))
			}
			want := map[string]any{"sub": "mail", "auth": "bearer", "rule": "all", "htm": nil, "htu": nil, "body_sha256": nil}
			if tt.bind {
				want["htm"], want["htu"] = "POST", "/events?a=%20&b"
			}
			if tt.wantBodyDigest {
				digest := sha256.Sum256([]byte(tt.body))
				want["body_sha256"] = base64.RawURLEncoding.EncodeToString(digest[:])
			}
			for name, value := range want {
				if claims[name] != value {
					t.Errorf("%s is %v, want %v", name, claims[name], value)
				}
			}
		})
	}
}

// TestAssertionAtTheNextAddress checks that the assertion is also sent to the address that is
// tried after an unreachable one.
func TestAssertionAtTheNextAddress(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			got := make(chan *http.Request, 2)
			up := upstream.Answering(t, func(r *http.Request, _ string) string {
				got <- r
				return rawhttp.Empty
			})
			f := newAssertingForwarder(t, w, newSigner(t, true), upstream.Refusing(t), up.Addr)
			for range 2 { // each address is the first one once
				if result := forwardRequest(t, f, forwardedRequest{http.MethodGet, "/", nil, hop}); result.Err != nil {
					t.Fatal(result.Err)
				}
				claimsIn(t, (<-got).Header)
			}
		})
	}
}

// TestNotSentWithoutAssertion checks that a request is not sent without the assertion that is
// configured: if it cannot be made, or if the body for its digest cannot be read.
func TestNotSentWithoutAssertion(t *testing.T) {
	tests := []struct {
		name, target string
		body         io.Reader
		length       int64
		want         refusal.Reason
	}{
		{"target that is not UTF-8", "/?\xff", http.NoBody, 0, refusal.RequestMalformed},
		{"truncated body", "/", io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), 3, refusal.ClientClosed},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			up := upstream.Answering(t, func(*http.Request, string) string {
				t.Error("the upstream got a request, want none")
				return rawhttp.Empty
			})
			f := newAssertingForwarder(t, w, newSigner(t, true), up.Addr)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", tt.body)
			r.ContentLength = tt.length
			g, err := grant(http.MethodPost, tt.target)
			if err != nil {
				t.Fatal(err)
			}
			recorder := httptest.NewRecorder()
			b := f.Body(recorder, r)
			defer b.Release()
			if found := reason(t, f.Forward(recorder, r, b, g, &hop)); found != tt.want {
				t.Errorf("reason %q, want %s", found, tt.want)
			}
		})
	}
}
