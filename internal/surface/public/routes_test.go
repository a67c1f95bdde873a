package public

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// public lists the routes that need no grant.
var public = map[string]bool{
	http.MethodGet + " /healthz":  true,
	http.MethodHead + " /healthz": true,
}

// TestRoutes checks that all registered routes are in the public list. A new route that
// bypasses the gate fails this test.
func TestRoutes(t *testing.T) {
	var found []string
	for _, r := range newEngine(Options{}).Routes() {
		name := r.Method + " " + r.Path
		if !public[name] {
			t.Errorf("route %s is not on the public list", name)
		}
		found = append(found, name)
	}
	if len(found) != len(public) {
		slices.Sort(found)
		t.Errorf("routes %q, want the public list", found)
	}
}

// TestEverythingElseIsGated checks that all other paths are gated for every method.
func TestEverythingElseIsGated(t *testing.T) {
	b := newFixture(t, nil)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X"}
	paths := []string{
		"/", "/events", "/metrics", "/readyz", "/debug/pprof/", "/loglevel", "/healthz/", "/Healthz", "/healthz/x", "//healthz",
		"/./healthz", "/x/../healthz", "/healthz;x", "/healthz%20", "/healthz%2f", "/healthz%00", "/favicon.ico", "/*", "/:x",
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
