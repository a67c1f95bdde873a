package e2e

import (
	"strconv"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// A token comes every twenty minutes, so that only the burst counts here.
const addsThreeTimes = `rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
    rate: 3/h
    burst: 3
  - name: everybody-reads
    clients: ["*"]
    allow: ["GET /events"]
`

// wantLimited sends a request over its client's rate.
func wantLimited(t *testing.T, g *harness.Gateway, r harness.Request) {
	t.Helper()
	a := harness.Send(t, g.Addr, r)
	g.WantProblem(t, a, refusal.RateLimited)
	g.Upstream.WantNothing(t)
	if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 1200 {
		t.Errorf("want Retry-After in whole seconds up to the next token, found %q", a.Header.Get("Retry-After"))
	}
	g.CheckAuditLine(t, a.Problem(t).RequestID, func(t testing.TB, line harness.AuditLine) {
		t.Helper()
		if line.Decision != "refused" || line.Client != "mail" || line.Rule != "apps-add-events" || line.KeyID == "" || line.Serial == "" || line.Auth != "bearer" {
			t.Errorf("want the client, the rule and the key in the log, found %+v", line)
		}
	})
}

// TestRateLimit checks that a client over its rate gets 429 and that other clients are not
// affected.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	g, file := rulesFrom(t, m, addsThreeTimes)
	g.CheckLogAtEnd(t)
	mail := harness.Get("/events", m.Issue(t, harness.OU("mail"))).Post("{}")
	renewed := harness.Get("/events", m.Issue(t, harness.OU("mail"))).Post("{}")
	social := harness.Get("/events", m.Issue(t, harness.OU("social"))).Post("{}")
	forged := harness.Get("/events", otherKey.Issue(t, harness.OU("mail"))).Post("{}")
	ambiguous := harness.Get("/x/../events", m.Issue(t, harness.OU("mail"))).Post("{}")
	forbidden := harness.Get("/other", m.Issue(t, harness.OU("mail"))).Post("{}")

	g.WantAllowed(t, mail)
	for range 5 {
		g.WantRefused(t, forged, refusal.CertificateUntrusted)
		g.WantRefused(t, ambiguous, refusal.PathAmbiguous)
		g.WantRefused(t, forbidden, refusal.AccessDenied)
	}
	g.WantAllowed(t, mail)
	g.WantAllowed(t, renewed) // another certificate of the same client
	wantLimited(t, g, mail)
	wantLimited(t, g, renewed)
	g.WantRefused(t, forged, refusal.CertificateUntrusted)
	for range 3 {
		g.WantAllowed(t, social)
	}
	g.WantAllowed(t, harness.Get("/events", m.Issue(t, harness.OU("mail")))) // by a rule without a rate

	// Reading the same rules again is no way to a full bucket; new ones are.
	wantReloaded(t, g, "rules", func() { replaceFile(t, file, "# moved\n"+addsThreeTimes) })
	wantLimited(t, g, mail)
	wantReloaded(t, g, "rules", func() { replaceFile(t, file, addsThreeTimes+"deny:\n  - client: leaked\n") })
	wantLimited(t, g, mail)
	wantReloaded(t, g, "rules", func() { replaceFile(t, file, harness.AllowAllRules) })
	g.WantAllowed(t, mail)
}
