package public

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestRoutes checks the complete list of the routes that require no access decision. A new
// route that bypasses the gate fails this test.
func TestRoutes(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		want    []string
	}{
		{"without assertions", Options{}, []string{"/healthz"}},
		{"with assertions", Options{KeySet: keySet}, []string{"/healthz", "/.well-known/jwks.json"}},
	}
	for _, tt := range tests {
		var found []string
		for _, r := range newSurface(tt.options).open {
			found = append(found, r.path)
		}
		if !slices.Equal(found, tt.want) {
			t.Errorf("%s: routes %q, want %q", tt.name, found, tt.want)
		}
	}
}

func keySet() []byte { return []byte(`{"keys":[]}`) }

func withKeySet(b *fixture) { b.options.KeySet = keySet }

// TestKeySet checks that everyone may read the public keys of assertions, with GET and HEAD
// only, like the health route.
func TestKeySet(t *testing.T) {
	for method, body := range map[string]string{"GET": `{"keys":[]}`, "HEAD": ""} {
		b := newFixture(t, withKeySet)
		res := b.send(t, request(method+" /.well-known/jwks.json HTTP/1.1"))
		if h := res.Header; res.StatusCode != http.StatusOK || res.Text != body || h.Get("Content-Type") != "application/jwk-set+json" || h.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("%s: status %d, header %v, body %q: want the keys, cacheable", method, res.StatusCode, h, res.Text)
		}
		if n := b.forwarded(); n != 0 {
			t.Errorf("the upstream got %d requests, want none", n)
		}
	}
	for _, line := range []string{"POST /.well-known/jwks.json", "X /healthz", "get /healthz", "CONNECT /healthz"} {
		res := newFixture(t, withKeySet).send(t, request(line+" HTTP/1.1"))
		wantProblem(t, res, refusal.MethodNotAllowed)
		if allow := res.Header.Get("Allow"); allow != "GET, HEAD" {
			t.Errorf("%s: Allow %q, want GET, HEAD", line, allow)
		}
	}
}

// TestEverythingElseIsGated checks that all other paths require a certificate, with every method.
func TestEverythingElseIsGated(t *testing.T) {
	t.Parallel()
	b := newFixture(t, withKeySet)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X"}
	paths := []string{
		"/", "/events", "/metrics", "/readyz", "/debug/pprof/", "/loglevel", "/healthz/", "/Healthz", "/healthz/x", "//healthz",
		"/./healthz", "/x/../healthz", "/healthz;x", "/healthz%20", "/healthz%2f", "/healthz%00", "/favicon.ico",
		"/.well-known/", "/.well-known/jwks.json/", "/.well-known/jwks.json/x", "//.well-known/jwks.json", "/.well-known/./jwks.json", "/.Well-Known/jwks.json",
		"/.well-known/jwks.json;x", "/.well-known/jwks%2ejson", "/health%7a", "/%68ealthz", "/*", "/:x",
	}
	for _, method := range methods {
		for _, path := range paths {
			res := b.send(t, request(method+" "+path+" HTTP/1.1"))
			if s := res.StatusCode; s != http.StatusUnauthorized && s != http.StatusBadRequest {
				t.Errorf("%s %s: status %d, want 401 or 400", method, path, s)
			}
			if method != "HEAD" && !strings.Contains(res.Text, `"reason":`) {
				t.Errorf("%s %s: body %q, want a problem", method, path, res.Text)
			}
		}
	}
	if n := b.forwarded(); n != 0 {
		t.Errorf("the upstream got %d requests, want none", n)
	}
	if records := b.lines(t); len(records) != len(methods)*len(paths) {
		t.Errorf("%d records, want one for each of %d requests", len(records), len(methods)*len(paths))
	}
}
