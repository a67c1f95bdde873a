package test

import (
	"strconv"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
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
func (g *gateway) wantLimited(t *testing.T, r request) {
	t.Helper()
	a := send(t, g.addr, r)
	g.wantProblem(t, a, refusal.RateLimited)
	g.upstream.wantNothing(t)
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || wait > 1200 {
		t.Errorf("want Retry-After in whole seconds up to the next token, found %q", a.header.Get("Retry-After"))
	}
	line := g.auditOf(t, a.problem(t).RequestID)
	if line.Decision != "refused" || line.Client != "mail" || line.Rule != "apps-add-events" || line.KeyID == "" || line.Serial == "" || line.Auth != "bearer" {
		t.Errorf("want the client, the rule and the key in the log, found %+v", line)
	}
}

// TestRate: a client over its rate gets 429, others do not feel it, and nobody
// but the client can use the rate up.
func TestRate(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "p256"), newMaster(t, "p256")
	g, file := rulesFrom(t, m, addsThreeTimes)
	mail := get("/events", m.issue(t, subject("mail"))).post("{}")
	renewed := get("/events", m.issue(t, subject("mail"))).post("{}")
	social := get("/events", m.issue(t, subject("social"))).post("{}")
	forged := get("/events", stranger.issue(t, subject("mail"))).post("{}")
	ambiguous := get("/x/../events", m.issue(t, subject("mail"))).post("{}")
	forbidden := get("/other", m.issue(t, subject("mail"))).post("{}")

	g.wantAllowed(t, mail)
	for range 5 {
		g.wantRefused(t, forged, refusal.CertificateUntrusted)
		g.wantRefused(t, ambiguous, refusal.PathAmbiguous)
		g.wantRefused(t, forbidden, refusal.AccessDenied)
	}
	g.wantAllowed(t, mail)
	g.wantAllowed(t, renewed) // another certificate of the same client
	g.wantLimited(t, mail)
	g.wantLimited(t, renewed)
	g.wantRefused(t, forged, refusal.CertificateUntrusted)
	for range 3 {
		g.wantAllowed(t, social)
	}
	g.wantAllowed(t, get("/events", m.issue(t, subject("mail")))) // by a rule without a rate

	// Reading the same rules again is no way to a full bucket; new ones are.
	g.wantReloaded(t, "rules", func() { replaceFile(t, file, "# moved\n"+addsThreeTimes) })
	g.wantLimited(t, mail)
	g.wantReloaded(t, "rules", func() { replaceFile(t, file, addsThreeTimes+"deny:\n  - client: leaked\n") })
	g.wantLimited(t, mail)
	g.wantReloaded(t, "rules", func() { replaceFile(t, file, everybodyReadsAndAdds) })
	g.wantAllowed(t, mail)
}
