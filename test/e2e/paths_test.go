package e2e

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestAmbiguousPathsAreRefused sends ambiguous spellings of paths, with rules that allow
// every path.
func TestAmbiguousPathsAreRefused(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	g.CheckLogAtEnd(t)
	g.WantAllowed(t, harness.Get("/events/1", mail))
	for _, target := range []string{
		"//events", "/events//1", "/events/1//", "///",
		"/events/../admin", "/events/..", "/../admin", "/./events", "/events/.",
		"/events/%2e%2e/admin", "/events/.%2e/admin", "/%2E%2E/", "/events/%2e",
		"/events%2f1", "/events%2F..%2Fadmin", "/events%5c..%5cadmin", `/events\..\admin`, "/events/%5C",
		"/events%00", "/events/1%00.html", "/events%0d%0aX-Client-Id:%20admin", "/events%09", "/events%7f",
		"/events/..;/admin", "/events/.;x=1/1", "/..;a=b/",
		"/events/%252e%252e/admin", "/events%252fadmin", "/events%255c1", "/%25%32%65",
		"/events/%c0%ae%c0%ae/admin", "/events/%e0%80%af", "/events/%ff",
		"/events/..%23", "/events/..%3f", "/events/..%3F/admin", "/events/%ef%bc%8e%ef%bc%8e/admin", "/events%ef%bc%8fadmin", "/events/%e2%80%a4%e2%80%a4",
		"/events/%", "/events/%2", "/events/%zz",
		"/events#fragment", "/events?q=1#fragment",
		"http://app.example/events", "http://evil.example/events", "https://app.example/events", "events",
		"/" + strings.Repeat("a", 8<<10),
	} {
		t.Run(shorten(target), func(t *testing.T) {
			a := harness.Send(t, g.Addr, harness.Get(target, mail))
			g.Upstream.WantNothing(t)
			if a.Status != 400 {
				t.Fatalf("want 400, found %d", a.Status)
			}
			// net/http refuses some itself, before there is a request.
			if a.Header.Get("Content-Type") == "application/problem+json" {
				g.WantProblem(t, a, refusal.PathAmbiguous)
			}
		})
	}
}

func shorten(s string) string { return s[:min(len(s), 40)] }

// TestPathsAndQueriesAreForwardedUnchanged checks that path and query arrive byte for byte.
func TestPathsAndQueriesAreForwardedUnchanged(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	g.CheckLogAtEnd(t)
	for _, target := range []string{
		"/", "/events", "/events/", "/events?", "/events??", "/events/1?week=2013-08-01",
		"/events/a%20b", "/events/%61", "/events/%E4%BD%A0", "/events/%e4%bd%a0", "/a+b", "/a%2Bb", "/a;v=1/b", "/events/...x", "/.well-known/x",
		"/events?q=%2e%2e/../%2f%00&&=&a=1&a=2;b", "/events?%zz", "/events?redirect=http://x//y", "/events?q='\"<>|{}[]^`",
		"/events/~!$&'()*+,;=:@",
	} {
		t.Run(shorten(target), func(t *testing.T) {
			head := g.WantAllowed(t, harness.Get(target, mail))
			if want := "GET " + target + " HTTP/1.1"; head[0] != want {
				t.Errorf("want %q, found %q", want, head[0])
			}
		})
	}
}

// TestMethods checks that methods are forwarded unchanged, and that some never are.
func TestMethods(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"ACCESS_RULES": `rules:
  - name: everybody
    clients: ["*"]
    allow: ["GET /", "POST /", "PUT /", "DELETE /", "PATCH /", "OPTIONS /", "PURGE /"]
`})
	g.CheckLogAtEnd(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"} {
		r := harness.Get("/events", mail)
		r.Method = method
		if head := g.WantAllowed(t, r); head[0] != method+" /events HTTP/1.1" {
			t.Errorf("want %s at the upstream, found %q", method, head[0])
		}
	}
	for _, method := range []string{"TRACE", "CONNECT", "get", "Post", "PROPFIND"} {
		t.Run(method, func(t *testing.T) {
			r := harness.Get("/events", mail)
			r.Method = method
			g.WantRefused(t, r, refusal.AccessDenied)
		})
	}
	tunnel := harness.Get("app.example:443", mail)
	tunnel.Method = "CONNECT"
	g.WantRefused(t, tunnel, refusal.PathAmbiguous)
	star := harness.Get("*", mail)
	star.Method = "OPTIONS"
	g.WantRefused(t, star, refusal.PathAmbiguous)
}
