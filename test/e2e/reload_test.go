package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// rulesFrom serves with the rules in a file, which it returns.
func rulesFrom(t *testing.T, m *harness.MasterKey, text string) (*harness.Gateway, string) {
	t.Helper()
	file := harness.WriteFile(t, text, t.TempDir(), "rules.yaml")
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).Without("ACCESS_RULES").With(harness.Env{"ACCESS_RULES_FILE": file}))
	waitWatching(t, g, "rules")
	return g, file
}

// TestDenyAppliesToNextRequest checks that a new deny list applies to the next request on
// an open connection once the log reports it.
func TestDenyAppliesToNextRequest(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	leaked := m.Issue(t, harness.CertificateOptions{Subject: "/OU=social", Key: "ed25519"})
	other := m.Issue(t, harness.OU("mail"))
	for _, test := range []struct {
		name, entry string
		reason      refusal.Reason
	}{
		{"client", "client: social", refusal.AccessDenied},
		{"serial", `serial: "` + leaked.Serial() + `"`, refusal.CertificateRevoked},
		{"certificate", `certificate: "` + leaked.Fingerprint() + `"`, refusal.CertificateRevoked},
		{"spki", `spki: "` + leaked.SPKI() + `"`, refusal.CertificateRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g, file := rulesFrom(t, m, harness.AllowAllRules)
			c := harness.Dial(t, g.Addr)
			for range 3 {
				c.Send(t, harness.Get("/events", leaked).String())
				if a := c.ReadResponse(t, http.MethodGet); a.Status != 200 {
					t.Fatalf("want 200 before the change, found %d", a.Status)
				}
			}
			g.Upstream.Take()
			wantReloaded(t, g, "rules", func() {
				replaceFile(t, file, harness.AllowAllRules+"deny:\n  - "+test.entry+"\n    reason: key leaked 2026-11-02\n")
			})
			c.Send(t, harness.Get("/events", leaked).String())
			a := c.ReadResponse(t, http.MethodGet)
			g.WantProblem(t, a, test.reason)
			g.Upstream.WantNothing(t)
			g.WantRefused(t, harness.Get("/events", leaked), test.reason)
			g.WantAllowed(t, harness.Get("/events", other))
			if line := g.AuditLineOf(t, a.Problem(t).RequestID); !strings.Contains(line.Detail, "key leaked 2026-11-02") {
				t.Errorf("want the operator's reason in the log, found %q", line.Detail)
			}
			wantReloaded(t, g, "rules", func() { replaceFile(t, file, harness.AllowAllRules) })
			g.WantAllowed(t, harness.Get("/events", leaked))
		})
	}
}

// TestReloadKeepsLastValidContent checks that an invalid file changes no decision and is
// reported to the operator.
func TestReloadKeepsLastValidContent(t *testing.T) {
	t.Parallel()
	m, next := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	mail, social, otherKey := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social")), next.Issue(t, harness.OU("mail"))
	denied := harness.AllowAllRules + "deny:\n  - client: social\n"
	wantSame := func(t *testing.T, g *harness.Gateway) {
		t.Helper()
		g.WantAllowed(t, harness.Get("/events", mail))
		g.WantRefused(t, harness.Get("/events", social), refusal.AccessDenied)
		g.WantRefused(t, harness.Get("/events", otherKey), refusal.CertificateUntrusted)
		if a := g.SendAdmin(t, harness.PlainGet("/readyz")); a.Status != 200 {
			t.Errorf("want readiness despite the invalid file, found %d", a.Status)
		}
	}
	for _, test := range []struct{ source, good, bad, wrong string }{
		{"rules", denied, denied + "  - clinet: mail\n", ":7: want "},
		{"rules", denied, denied + "rules: []\n", ":7: "},
		{"rules", denied, "", ""},
		{"keys", m.PublicKey, m.PublicKey + strings.Replace(next.PublicKey, "-----END", "----END", 1), "line 5"},
		{"keys", m.PublicKey, "", ""},
	} {
		t.Run(test.source+" "+test.wrong, func(t *testing.T) {
			t.Parallel()
			variable := map[string]string{"rules": "ACCESS_RULES", "keys": "AUTH_PUBLIC_KEY"}[test.source]
			file := harness.WriteFile(t, test.good, t.TempDir(), "content")
			u := harness.NewUpstream(t, nil)
			env := harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"ACCESS_RULES": denied}).Without(variable)
			g := harness.StartGateway(t, u, env.With(harness.Env{variable + "_FILE": file}))
			waitWatching(t, g, test.source)
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 0)

			l := reload(t, g, test.source, func() { replaceFile(t, file, test.bad) })
			if l.Level != "error" || l.Msg == "reloaded" || l.Variable != variable+"_FILE" ||
				l.File != file || !strings.Contains(l.Error, test.wrong) {
				t.Errorf("want an error with the file and %q, found %+v", test.wrong, l)
			}
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 1)

			wantReloaded(t, g, test.source, func() { replaceFile(t, file, test.good+"\n") })
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 0)
		})
	}
}

// wantReloadFailed checks the gauge of the source, and that no other is up.
func wantReloadFailed(t *testing.T, g *harness.Gateway, source string, want float64) {
	t.Helper()
	family := metrics(t, g)["certgate_last_reload_failed"]
	for _, s := range []string{"keys", "rules", "crls"} {
		expected := 0.0
		if s == source {
			expected = want
		}
		if found := counter(family, map[string]string{"source": s}); found != expected {
			t.Errorf(`certgate_last_reload_failed{source=%q}: want %v, found %v`, s, expected, found)
		}
	}
}
