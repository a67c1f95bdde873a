package test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// rulesFrom serves with the rules in a file, which it returns.
func rulesFrom(t *testing.T, m *master, text string) (*gateway, string) {
	t.Helper()
	file := writeFile(t, text, t.TempDir(), "rules.yaml")
	u := newUpstream(t, nil)
	g := serve(t, u, settings(m.publicKey, u).without("ACCESS_RULES").with(environment{"ACCESS_RULES_FILE": file}))
	g.watching(t, "rules")
	return g, file
}

// TestDenyOnTheNextRequest: what has just passed is refused as soon as the log
// says that the new list is in force, on the same connection, too.
func TestDenyOnTheNextRequest(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	leaked := m.issue(t, certificateOptions{subject: "/OU=social", key: "ed25519"})
	other := m.issue(t, subject("mail"))
	for _, test := range []struct {
		name, entry string
		reason      refusal.Reason
	}{
		{"client", "client: social", refusal.AccessDenied},
		{"serial", `serial: "` + leaked.serial() + `"`, refusal.CertificateRevoked},
		{"certificate", `certificate: "` + leaked.fingerprint() + `"`, refusal.CertificateRevoked},
		{"spki", `spki: "` + leaked.spki() + `"`, refusal.CertificateRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g, file := rulesFrom(t, m, everybodyReadsAndAdds)
			c := dial(t, g.addr)
			for range 3 {
				c.write(t, get("/events", leaked).String())
				if a := c.read(t, http.MethodGet); a.status != 200 {
					t.Fatalf("want 200 before the change, found %d", a.status)
				}
			}
			g.upstream.take()
			g.wantReloaded(t, "rules", func() {
				replaceFile(t, file, everybodyReadsAndAdds+"deny:\n  - "+test.entry+"\n    reason: key leaked 2026-11-02\n")
			})
			c.write(t, get("/events", leaked).String())
			a := c.read(t, http.MethodGet)
			g.wantProblem(t, a, test.reason)
			g.upstream.wantNothing(t)
			g.wantRefused(t, get("/events", leaked), test.reason)
			g.wantAllowed(t, get("/events", other))
			if line := g.auditOf(t, a.problem(t).RequestID); !strings.Contains(line.Detail, "key leaked 2026-11-02") {
				t.Errorf("want the operator's reason in the log, found %q", line.Detail)
			}
			g.wantReloaded(t, "rules", func() { replaceFile(t, file, everybodyReadsAndAdds) })
			g.wantAllowed(t, get("/events", leaked))
		})
	}
}

// TestBadContentKeepsTheLastGood: a broken file lets nobody in and nobody out,
// and the operator learns of it.
func TestBadContentKeepsTheLastGood(t *testing.T) {
	t.Parallel()
	m, next := newMaster(t, "p256"), newMaster(t, "p256")
	mail, social, stranger := m.issue(t, subject("mail")), m.issue(t, subject("social")), next.issue(t, subject("mail"))
	denied := everybodyReadsAndAdds + "deny:\n  - client: social\n"
	wantSame := func(t *testing.T, g *gateway) {
		t.Helper()
		g.wantAllowed(t, get("/events", mail))
		g.wantRefused(t, get("/events", social), refusal.AccessDenied)
		g.wantRefused(t, get("/events", stranger), refusal.CertificateUntrusted)
		if a := send(t, g.admin, plainGet("/readyz")); a.status != 200 {
			t.Errorf("want readiness whatever the file holds, found %d", a.status)
		}
	}
	for _, test := range []struct{ source, good, bad, wrong string }{
		{"rules", denied, denied + "  - clinet: mail\n", ":7: want "},
		{"rules", denied, denied + "rules: []\n", ":7: "},
		{"rules", denied, "", ""},
		{"keys", m.publicKey, m.publicKey + strings.Replace(next.publicKey, "-----END", "----END", 1), "line 5"},
		{"keys", m.publicKey, "", ""},
	} {
		t.Run(test.source+" "+test.wrong, func(t *testing.T) {
			t.Parallel()
			variable := map[string]string{"rules": "ACCESS_RULES", "keys": "AUTH_PUBLIC_KEY"}[test.source]
			file := writeFile(t, test.good, t.TempDir(), "content")
			u := newUpstream(t, nil)
			env := settings(m.publicKey, u).with(environment{"ACCESS_RULES": denied}).without(variable)
			g := serve(t, u, env.with(environment{variable + "_FILE": file}))
			g.watching(t, test.source)
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 0)

			l := g.reload(t, test.source, func() { replaceFile(t, file, test.bad) })
			if l.Level != "error" || l.Msg == "reloaded" || l.Variable != variable+"_FILE" ||
				l.File != file || !strings.Contains(l.Error, test.wrong) {
				t.Errorf("want an error with the file and %q, found %+v", test.wrong, l)
			}
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 1)

			g.wantReloaded(t, test.source, func() { replaceFile(t, file, test.good+"\n") })
			wantSame(t, g)
			wantReloadFailed(t, g, test.source, 0)
		})
	}
}

// wantReloadFailed checks the gauge of the source, and that no other is up.
func wantReloadFailed(t *testing.T, g *gateway, source string, want float64) {
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
