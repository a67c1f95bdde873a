package proxies

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/extauth"
	"github.com/certgate/certgate/test/harness"
)

// startTraefik runs Traefik with the documented configuration before g, in which edit
// has replaced something.
func startTraefik(t *testing.T, c *cast, g *harness.Gateway, edit *strings.Replacer) asker {
	t.Helper()
	o := proxyOptions{file: traefikAsks, values: map[string]string{
		"AUTHZ": g.Authz.HTTP, "SERVICE": strings.TrimPrefix(g.Upstream.URL, "http://"),
		"SERVER_CERT": c.files["SERVER_CERT"], "SERVER_KEY": c.files["SERVER_KEY"],
	}}
	if edit != nil {
		o.edit = edit.Replace
	}
	f := &front{cast: c, addr: startProxy(t, o).addr}
	f.waitForRoute(t)
	return asker{g, f.addr, "verify", extauth.Status, func(t *testing.T, r harness.Request) harness.Response {
		t.Helper()
		a, err := f.ask(t, r)
		if err != nil {
			t.Fatalf("want a response of Traefik, found %v", err)
		}
		return a
	}}
}

// TestTraefikForwardAuth runs the documented configuration with a real Traefik.
func TestTraefikForwardAuth(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "traefik")
	c := newCast(t)
	mail, social := c.mail, c.social
	g := harness.NewGateway(t, c.clients, harness.AuthzEnabled.With(harness.Env{
		"ACCESS_RULES": "rules: [{name: events, clients: [mail], allow: [\"GET /events\", \"POST /events\", \"GET /files/{rest...}\"]}]\n",
	}))
	traefik := startTraefik(t, c, g, nil)
	good, secret := harness.Get("/events", mail), harness.Get("/secret", mail)

	traefik.wantPassed(t, good, mail)
	traefik.wantPassed(t, harness.Get("/events?a=%2e%2e//&b=/../", mail), mail)
	traefik.wantPassed(t, harness.Get("/files/a%20b/%C3%A9;v=1", mail), mail)
	traefik.wantPassed(t, good.Post(strings.Repeat("a", 100<<10)), mail)
	traefik.wantPassed(t, good.Post(harness.Chunked("hello", 2)).With("Transfer-Encoding: chunked"), mail)
	traefik.wantPassed(t, good.With(spoofedFields()...), mail)
	traefik.wantPassed(t, good.With("Connection: keep-alive, "+identityFields), mail)
	traefik.wantNoAliases(t, mail)
	for name, test := range map[string]struct {
		request harness.Request
		reason  refusal.Reason
	}{
		"no certificate":                {harness.PlainGet("/events"), refusal.CredentialMissing},
		"another client":                {harness.Get("/events", social), refusal.AccessDenied},
		"another path":                  {secret, refusal.AccessDenied},
		"X-Forwarded of an allowed one": {secret.With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /events"), refusal.AccessDenied},
		"X-Original of an allowed one":  {secret.With("X-Original-Method: GET", "X-Original-URI: /events"), refusal.AccessDenied},
		"listed in Connection":          {secret.With("Connection: X-Forwarded-Uri, X-Forwarded-Method", "X-Original-Method: GET", "X-Original-URI: /events"), refusal.AccessDenied},
		"another method":                {harness.Request{Method: http.MethodDelete, Target: "/events", Header: good.Header}, refusal.AccessDenied},
		"two certificates":              {good.With(good.Header...), refusal.CredentialDuplicated},
		"double slash":                  {harness.Get("//events", mail), refusal.PathAmbiguous},
		"dot segment":                   {harness.Get("/files/../events", mail), refusal.PathAmbiguous},
		"encoded dot segment":           {harness.Get("/files/%2e%2e/secret", mail), refusal.PathAmbiguous},
		"encoded slash":                 {harness.Get("/files/..%2fsecret", mail), refusal.PathAmbiguous},
	} {
		t.Run(name, func(t *testing.T) { traefik.wantStopped(t, test.request, test.reason) })
	}
}

// TestTraefikForwardAuthIncomplete changes lines that the files call essential and expects
// the attack that each line prevents to succeed.
func TestTraefikForwardAuthIncomplete(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "traefik")
	c := newCast(t)
	g := harness.NewGateway(t, c.clients, harness.AuthzEnabled.With(harness.Env{
		"ACCESS_RULES": "rules: [{name: events, clients: [mail], allow: [\"GET /events\"]}]\n",
	}))
	t.Run("aliasHeadersStrategy", func(t *testing.T) {
		traefik := startTraefik(t, c, g, strings.NewReplacer("aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep"))
		for _, character := range aliasCharacters {
			if !traefik.aliasArrives(t, c.mail, character) {
				t.Errorf("X%[1]cClient%[1]cId: want it at the service, found it deleted", character)
			}
		}
	})
	t.Run("trustForwardHeader", func(t *testing.T) {
		// The entry point trusts every client, which the static configuration warns of.
		trusting := []string{`address: "${ADDRESS}:${PORT}"`, `address: "${ADDRESS}:${PORT}"` + "\n    forwardedHeaders: {insecure: true}"}
		spoofed := harness.Get("/secret", c.mail).With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /events")
		traefik := startTraefik(t, c, g, strings.NewReplacer(trusting...))
		traefik.wantStopped(t, spoofed, refusal.AccessDenied)
		traefik = startTraefik(t, c, g, strings.NewReplacer(append(trusting, "trustForwardHeader: false", "trustForwardHeader: true")...))
		if a := traefik.send(t, spoofed); a.Status != http.StatusOK {
			t.Errorf("want certgate to decide on the client's X-Forwarded-Uri, found status %d", a.Status)
		}
		g.Upstream.Take()
	})
	t.Run("sanitizePath", func(t *testing.T) {
		traefik := startTraefik(t, c, g, strings.NewReplacer("sanitizePath: false", "sanitizePath: true"))
		if a := traefik.send(t, harness.Get("//events", c.mail)); a.Status != http.StatusOK {
			t.Fatalf("want 200, found %d", a.Status)
		}
		if head := g.Upstream.WantOne(t); !strings.HasPrefix(head[0], "GET /events HTTP/1.") {
			t.Errorf("want Traefik to rewrite the path, found %q", head[0])
		}
	})
}
