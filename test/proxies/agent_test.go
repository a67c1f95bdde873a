package proxies

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestAgentThroughTLSProxy sends requests through an agent and a proxy that terminates TLS,
// in HTTP/1.1 and HTTP/2.
func TestAgentThroughTLSProxy(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"haproxy-tls.cfg", "caddy-tls.Caddyfile"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			program, _, _ := strings.Cut(file, "-")
			harness.LookProgram(t, proxyCommands()[program].name)
			m := harness.NewMasterKey(t, "p256")
			g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress().With(harness.Env{"TRUSTED_PROXIES": "127.0.0.1/32"}))
			mail := m.NewCredentialFiles(t, harness.OU("mail"))
			lb := startLoadBalancer(t, g, m.Issue(t, harness.OU("mail")), file, nil)
			agent := mail.StartAgent(t, lb.url, "--ca", lb.ca)
			for _, args := range [][]string{{"http://" + agent.Addr + "/events?a=b"}, {"http://" + agent.Addr + "/events", "-d", "x"}} {
				if status, body := harness.Curl(t, args...); status != 200 {
					t.Errorf("want 200, found %d and %s", status, body)
				}
			}
			result := harness.Run(t, "certgate", nil, mail.Args("request", "--ca", lb.ca, "--data", "x", "POST", lb.url+"/events")...)
			if result.ExitCode != 0 || !strings.Contains(result.Stderr, " 200 ") {
				t.Errorf("want 200, found %+v", result)
			}
			untrusting := mail.StartAgent(t, lb.url) // without --ca
			if status, body := harness.Curl(t, "http://"+untrusting.Addr+"/events"); status != 502 || !strings.Contains(body, "agent_gateway_unreachable") {
				t.Errorf("want a server with an untrusted certificate refused, found %d and %s", status, body)
			}
		})
	}
}
