package e2e

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestEchoPath checks that the echo is off by default, and that it responds to verified
// clients only.
func TestEchoPath(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	harness.NewGateway(t, m, nil).WantAllowed(t, harness.Get("/certgate/echo", mail))

	revoked, denied := m.Issue(t, harness.OU("social")), m.Issue(t, harness.OU("billing"))
	g := harness.NewGateway(t, m, harness.Env{
		"ECHO_PATH":    "/certgate/echo",
		"ACCESS_RULES": harness.AllowAllRules + "deny:\n  - client: billing\n  - serial: \"" + revoked.Serial() + "\"\n",
	})
	if _, err := g.Stderr.WaitLine(func(line string) bool {
		return strings.Contains(line, `"warn"`) && strings.Contains(line, `"ECHO_PATH: `)
	}); err != nil {
		t.Errorf("want a warning: %v", err)
	}
	a := harness.Send(t, g.Addr, harness.Get("/certgate/echo", mail).With("Authorization: Bearer hidden"))
	if a.Status != 200 || !strings.Contains(a.Body, `"client":"mail"`) || strings.Contains(a.Body, "hidden") || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("want the echo, found %d %s", a.Status, a.Body)
	}
	harness.RecordOutput("the echo in "+t.Name(), a.Body)
	g.Upstream.WantNothing(t)
	for reason, r := range map[refusal.Reason]harness.Request{
		refusal.CredentialMissing:    harness.PlainGet("/certgate/echo"),
		refusal.CertificateUntrusted: harness.Get("/certgate/echo", harness.NewMasterKey(t, "p256").Issue(t, harness.OU("mail"))),
		refusal.CertificateRevoked:   harness.Get("/certgate/echo", revoked),
		refusal.AccessDenied:         harness.Get("/certgate/echo", denied),
		refusal.MethodNotAllowed:     harness.Get("/certgate/echo", mail).Post("x"),
		refusal.PathAmbiguous:        harness.Get("/certgate/echo/../echo", mail),
	} {
		g.WantRefused(t, r, reason)
	}
	g.WantAllowed(t, harness.Get("/events", mail))
}
