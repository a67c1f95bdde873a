package proxies

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// startTraefik runs Traefik with the documented configuration before g, in which edit
// has replaced something.
func startTraefik(t *testing.T, c *credentials, g *harness.Gateway, edit *strings.Replacer) authzProxy {
	t.Helper()
	o := proxyOptions{file: traefikAuthzFile, values: map[string]string{
		"AUTHZ": g.Authz.HTTP, "SERVICE": strings.TrimPrefix(g.Upstream.URL, "http://"),
		"SERVER_CERT": c.files["SERVER_CERT"], "SERVER_KEY": c.files["SERVER_KEY"],
	}}
	if edit != nil {
		o.edit = edit.Replace
	}
	f := &proxiedGateway{credentials: c, addr: startProxy(t, o).addr}
	f.waitForRoute(t)
	return authzProxy{g, f.addr, "verify", verifyStatus, func(t *testing.T, r harness.Request) harness.Response {
		t.Helper()
		a, err := f.send(t, r)
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
	c := newCredentials(t)
	g := harness.NewGateway(t, c.clients, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules}))
	traefik := startTraefik(t, c, g, nil)
	traefik.wantAuthorization(t, c.mail, c.social, forwardedInConnection(c.mail), encodedDots(c.mail))
}

// TestTraefikForwardAuthIncomplete changes lines that the files call essential and expects
// the attack that each line prevents to succeed.
func TestTraefikForwardAuthIncomplete(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "traefik")
	c := newCredentials(t)
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
		traefik.wantRefused(t, spoofed, refusal.AccessDenied)
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
