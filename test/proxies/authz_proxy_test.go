package proxies

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// authzProxy is a proxy with external authorization by a gateway.
type authzProxy struct {
	*harness.Gateway
	proxyAddr string
	surface   string                                                 // in the audit lines
	status    func(refusal.Reason) int                               // of a refusal that the client gets
	send      func(t *testing.T, r harness.Request) harness.Response // sends a request to the proxy
}

// verifyStatus returns the status of a refusal by /verify, which is 401 or 403.
func verifyStatus(r refusal.Reason) int {
	if r.Status() == http.StatusUnauthorized {
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// startAuthzProxy runs a proxy that sends authorization requests for g to the address authz.
// edit changes the documented configuration; it may be nil.
func startAuthzProxy(t *testing.T, g *harness.Gateway, authz, file string, edit *strings.Replacer) authzProxy {
	t.Helper()
	o := proxyOptions{file: file, values: map[string]string{"AUTHZ": authz, "SERVICE": strings.TrimPrefix(g.Upstream.URL, "http://")}}
	if edit != nil {
		o.edit = edit.Replace
	}
	p := startProxy(t, o)
	return authzProxy{g, p.addr, "verify", verifyStatus, func(t *testing.T, r harness.Request) harness.Response {
		t.Helper()
		return harness.Send(t, p.addr, r)
	}}
}

const (
	nginxAuthzFile   = "nginx-auth-request.conf"
	caddyAuthzFile   = "caddy-forward-auth.Caddyfile"
	traefikAuthzFile = "traefik-forward-auth.yaml"
)

// without returns a replacer that turns lines into comments.
func without(lines ...string) *strings.Replacer {
	var pairs []string
	for _, line := range lines {
		pairs = append(pairs, line, "# ")
	}
	return strings.NewReplacer(pairs...)
}

// wantPassed sends r to the proxy and expects it at the service, with mail's identity.
func (a authzProxy) wantPassed(t *testing.T, r harness.Request, c harness.Certificate) {
	t.Helper()
	if found := a.send(t, r); found.Status != http.StatusOK {
		t.Fatalf("want 200, found %d and %s", found.Status, found.Body)
	}
	head := a.Upstream.WantOne(t)
	harness.WantClientHeaders(t, head, "mail", "bearer", c)
	if claims := harness.WantAssertion(t, head); claims.Subject != "mail" || claims.Target != r.Target {
		t.Errorf("want an assertion about mail and %s, found %+v", r.Target, claims)
	}
	if want := r.Method + " " + r.Target + " HTTP/1."; !strings.HasPrefix(head[0], want) {
		t.Errorf("want %q at the service, found %q", want, head[0])
	}
	ids := harness.HeaderValues(head, "X-Request-Id")
	if len(ids) != 1 {
		t.Fatalf("want one X-Request-Id at the service, found %q", ids)
	}
	if line := a.AuditLineOf(t, ids[0]); line.Surface != a.surface || line.Client != "mail" || !strings.HasPrefix(r.Target, line.Path) {
		t.Errorf("want the request of mail in the log, found %+v", line)
	}
}

// wantRefused sends r to the proxy and expects the reason, and nothing at the service.
func (a authzProxy) wantRefused(t *testing.T, r harness.Request, reason refusal.Reason) {
	t.Helper()
	found := a.send(t, r)
	a.Upstream.WantNothing(t)
	want := a.status(reason)
	if found.Status != want || !strings.Contains(found.Body, `"reason":"`+string(reason)+`"`) {
		t.Errorf("want %d and %s, found %d and %.300s", want, reason, found.Status, found.Body)
	}
	if challenged := found.Header.Get("WWW-Authenticate") != ""; challenged != (want == http.StatusUnauthorized) {
		t.Errorf("status %d: want a challenge with 401 only, found %t", found.Status, challenged)
	}
}

// authzAsserting returns the settings of a gateway for external authorization that signs an
// assertion about each request.
func authzAsserting(t *testing.T) harness.Env {
	t.Helper()
	return harness.AuthzEnabled.With(harness.AssertionEnabled(t)).With(harness.Env{"ASSERTION_BIND": "request"})
}

// authzRules allow mail some requests, and no other client.
const authzRules = "rules: [{name: events, clients: [mail], allow: [\"GET /events\", \"POST /events\", \"GET /files/{rest...}\"]}]\n"

// refusedRequest is a request that a proxy must refuse, and the reason.
type refusedRequest struct {
	name    string
	request harness.Request
	reason  refusal.Reason
}

// wantAuthorization checks that requests of mail pass unchanged with its identity only, and
// that clients cannot make certgate decide on another request than the one that the proxy
// forwards. more are refused requests that depend on the proxy.
func (a authzProxy) wantAuthorization(t *testing.T, mail, social harness.Certificate, more ...refusedRequest) {
	t.Helper()
	good, secret := harness.Get("/events", mail), harness.Get("/secret", mail)
	for _, r := range []harness.Request{
		good,
		harness.Get("/events?a=%2e%2e//&b=/../", mail),
		harness.Get("/files/a%20b/%C3%A9;v=1", mail),
		good.Post(strings.Repeat("a", 100<<10)),
		good.Post(harness.Chunked("hello", 2)).With("Transfer-Encoding: chunked"),
		good.With(spoofedFields()...),
		good.With("Connection: keep-alive, " + identityFields),
	} {
		a.wantPassed(t, r, mail)
	}
	a.wantNoAliases(t, mail)
	for _, test := range append([]refusedRequest{
		{"no certificate", harness.PlainGet("/events"), refusal.CredentialMissing},
		{"another client", harness.Get("/events", social), refusal.AccessDenied},
		{"another path", secret, refusal.AccessDenied},
		{"X-Original of an allowed one", secret.With("X-Original-Method: GET", "X-Original-URI: /events"), refusal.AccessDenied},
		{"X-Forwarded of an allowed one", secret.With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /events"), refusal.AccessDenied},
		{"another method", harness.Request{Method: http.MethodDelete, Target: "/events", Header: good.Header}, refusal.AccessDenied},
		{"two certificates", good.With(good.Header...), refusal.CredentialDuplicated},
		{"double slash", harness.Get("//events", mail), refusal.PathAmbiguous},
		{"dot segment", harness.Get("/files/../events", mail), refusal.PathAmbiguous},
		{"encoded slash", harness.Get("/files/..%2fsecret", mail), refusal.PathAmbiguous},
	}, more...) {
		t.Run(test.name, func(t *testing.T) { a.wantRefused(t, test.request, test.reason) })
	}
}

// encodedDots is refused by every proxy that forwards the path as it is.
func encodedDots(as harness.Certificate) refusedRequest {
	return refusedRequest{"encoded dot segment", harness.Get("/files/%2e%2e/secret", as), refusal.PathAmbiguous}
}

// forwardedInConnection lists the fields of the original request in Connection, so that a
// proxy that writes X-Forwarded-Method and X-Forwarded-Uri could delete them.
func forwardedInConnection(as harness.Certificate) refusedRequest {
	r := harness.Get("/secret", as).With("Connection: X-Forwarded-Uri, X-Forwarded-Method", "X-Original-Method: GET", "X-Original-URI: /events")
	return refusedRequest{"listed in Connection", r, refusal.AccessDenied}
}

// TestNginxAuthRequest runs the documented configuration with a real nginx. Clients try to
// make certgate decide on another request than the one that they send.
func TestNginxAuthRequest(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules}))
	nginx := startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, nil)
	good, secret := harness.Get("/events", mail), harness.Get("/secret", mail)
	nginx.wantAuthorization(t, mail, social,
		encodedDots(mail),
		refusedRequest{"all fields of an allowed one", secret.With("X-Original-Method: GET", "X-Original-URI: /events", "X-Forwarded-Method: GET",
			"X-Forwarded-Uri: /events", "X-Original-URL: /events", "X-Rewrite-URL: /events", "X-HTTP-Method-Override: GET"), refusal.AccessDenied},
		refusedRequest{"a field twice", secret.With("X-Original-URI: /events", "X-Original-URI: /events", "X-Original-Method: GET"), refusal.AccessDenied},
		refusedRequest{"listed in Connection", secret.With("Connection: X-Original-URI, X-Original-Method", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /events"), refusal.AccessDenied},
		refusedRequest{"another method with an allowed X-Original-Method", harness.Request{Method: http.MethodDelete, Target: "/events", Header: good.Header}.With("X-Original-Method: GET"), refusal.AccessDenied},
		refusedRequest{"the path of /verify", harness.Get("/verify", mail), refusal.AccessDenied},
	)
	t.Run("clients do not reach the internal location", func(t *testing.T) {
		if a := nginx.send(t, harness.Get("/certgate", mail)); a.Status != http.StatusNotFound {
			t.Errorf("want 404, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
	t.Run("absolute form", func(t *testing.T) {
		// nginx sends certgate the path that it forwards.
		if a := nginx.send(t, harness.Get("http://app.example/secret", mail)); a.Status != http.StatusForbidden {
			t.Errorf("want 403, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		c := harness.Dial(t, nginx.proxyAddr)
		c.Send(t, strings.Replace(secret.String(), " HTTP/1.1\r\n", " HTTP/1.0\r\n", 1))
		if a := c.ReadResponse(t, "GET"); a.Status != http.StatusForbidden {
			t.Errorf("want 403, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
}

// TestNginxAuthRequestIncomplete checks that an incomplete configuration makes certgate
// refuse requests, and lets none pass.
func TestNginxAuthRequestIncomplete(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{
		"ACCESS_RULES": "rules: [{name: events, clients: [mail], allow: [\"GET /events\"]}]\n",
	}))
	good, secret := harness.Get("/events", mail), harness.Get("/secret", mail)
	spoofed := secret.With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /events")
	t.Run("X-Original fields only", func(t *testing.T) {
		nginx := startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, without("proxy_set_header X-Forwarded-Method", "proxy_set_header X-Forwarded-Uri"))
		nginx.wantPassed(t, good, mail)
		nginx.wantRefused(t, spoofed, refusal.OriginAmbiguous)
		nginx.wantRefused(t, secret.With("X-Forwarded-Method: GET"), refusal.OriginMissing)
	})
	t.Run("no target", func(t *testing.T) {
		nginx := startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, without("proxy_set_header X-Original-URI"))
		nginx.wantRefused(t, good, refusal.OriginMissing)
		nginx.wantRefused(t, spoofed, refusal.OriginMissing)
	})
	t.Run("no method", func(t *testing.T) {
		nginx := startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, without("proxy_set_header X-Original-Method"))
		nginx.wantRefused(t, good, refusal.OriginMissing)
	})
	t.Run("another path", func(t *testing.T) {
		nginx := startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, strings.NewReplacer("/verify;", "/healthz;"))
		nginx.wantRefused(t, good, refusal.RequestMalformed)
	})
	t.Run("the public listener", func(t *testing.T) {
		// There "/verify" is an ordinary path.
		nginx := startAuthzProxy(t, g, g.Addr, nginxAuthzFile, nil)
		if a := nginx.send(t, good); a.Status != http.StatusForbidden {
			t.Errorf("want 403, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
	t.Run("no listener", func(t *testing.T) {
		nginx := startAuthzProxy(t, g, harness.FreeAddress(t), nginxAuthzFile, nil)
		if a := nginx.send(t, good); a.Status != http.StatusInternalServerError {
			t.Errorf("want 500, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
}

// TestCaddyForwardAuth runs the documented configuration with a real Caddy.
func TestCaddyForwardAuth(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules}))
	caddy := startAuthzProxy(t, g, g.Authz.HTTP, caddyAuthzFile, strings.NewReplacer(
		"# copy_headers X-Client-Assertion", "copy_headers X-Client-Assertion", "# header_up X-Client-Assertion", "header_up X-Client-Assertion",
	))
	caddy.wantAuthorization(t, mail, social, forwardedInConnection(mail))
}

// TestRecordedForwardAuthRequests sends requests that were recorded from Traefik's
// ForwardAuth and Caddy's forward_auth.
func TestRecordedForwardAuthRequests(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.AuthzEnabled)
	credential := "X-Ssl-Auth: " + mail.HeaderValue(certheader.Base64DER)
	for name, lines := range map[string][]string{
		traefikAuthzFile: {"User-Agent: curl/8.5.0", "Accept: */*", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: app.example",
			"X-Forwarded-Method: POST", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https", "X-Forwarded-Server: traefik-0",
			"X-Forwarded-Uri: /events?a=1", "X-Real-Ip: 203.0.113.7", "Accept-Encoding: gzip", credential},
		caddyAuthzFile: {"User-Agent: curl/8.5.0", "Accept: */*", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: app.example",
			"X-Forwarded-Method: POST", "X-Forwarded-Proto: https", "X-Forwarded-Uri: /events?a=1", "Accept-Encoding: gzip", credential},
	} {
		t.Run(name, func(t *testing.T) {
			a := harness.Send(t, g.Authz.HTTP, harness.Request{Method: "GET", Target: "/verify", Header: lines})
			if a.Status != http.StatusOK || a.Header.Get("X-Client-Id") != "mail" {
				t.Fatalf("want 200 and mail, found %d and %s", a.Status, a.Body)
			}
			if line := g.AuditLineOf(t, a.Header.Get("X-Request-Id")); line.Method != http.MethodPost || line.Path != "/events" || line.Source != "203.0.113.7" {
				t.Errorf("want POST /events of 203.0.113.7 in the log, found %+v", line)
			}
			// With the client's own field, the request has it twice.
			doubled := append(slices.Clone(lines), "X-Forwarded-Uri: /public")
			harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, harness.Request{Method: "GET", Target: "/verify", Header: doubled}), refusal.OriginAmbiguous)
		})
	}
}
