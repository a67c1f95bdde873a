package proxies

import (
	"net/http"
	"slices"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestForgedAssertion sends a client's own X-Client-Assertion through each proxy with
// external authorization by a gateway that signs no assertions, and expects no value of it at
// the service.
func TestForgedAssertion(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	g := harness.NewGateway(t, c.clients, harness.AuthzEnabled)
	for _, program := range []string{"nginx", "caddy", "traefik", "envoy"} {
		t.Run(program, func(t *testing.T) {
			harness.LookProgram(t, program)
			proxy := startAuthzProgram(t, program, c, g)
			for _, lines := range [][]string{{"X-Client-Assertion: forged"}, {"x-client-assertion: forged", "Connection: X-Client-Assertion"}} {
				if a := proxy.send(t, harness.Get("/events", c.mail).With(lines...)); a.Status != http.StatusOK {
					t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
				}
				values := harness.HeaderValues(g.Upstream.WantOne(t), "X-Client-Assertion")
				if slices.ContainsFunc(values, func(value string) bool { return value != "" }) {
					t.Errorf("want no assertion at the service, found %q", values)
				}
			}
		})
	}
}

// startAuthzProgram runs the documented configuration of a program with external authorization
// by g.
func startAuthzProgram(t *testing.T, program string, c *credentials, g *harness.Gateway) authzProxy {
	t.Helper()
	switch program {
	case "nginx":
		return startAuthzProxy(t, g, g.Authz.HTTP, nginxAuthzFile, nil)
	case "caddy":
		return startAuthzProxy(t, g, g.Authz.HTTP, caddyAuthzFile, nil)
	case "traefik":
		return startTraefik(t, c, g, nil)
	default:
		return startEnvoy(t, g, g.Authz.GRPC)
	}
}
