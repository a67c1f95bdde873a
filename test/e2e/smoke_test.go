package e2e

import (
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

const smokeRules = `rules:
  - name: read
    clients: [mail, leaked]
    allow: ["GET /events"]
  - name: add
    clients: [mail]
    allow: ["POST /events"]
    proof: require
deny:
  - client: leaked
`

// TestSmoke sends one request of each important kind through the built gateway. It is the
// only test of this package that starts processes with -short.
func TestSmoke(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := NewSigner(t, m, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF": "off", "ACCESS_RULES": smokeRules}))
	read := harness.Get("/events", mail.Certificate)
	add := mail.Sign(t, harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.SignatureOptions{})

	harness.WantClientHeaders(t, g.WantAllowed(t, read), "mail", "bearer", mail.Certificate)
	harness.WantClientHeaders(t, g.WantAllowed(t, add), "mail", "signed", mail.Certificate)
	for _, test := range []struct {
		name    string
		request harness.Request
		reason  refusal.Reason
	}{
		{"no certificate", harness.PlainGet("/events"), refusal.CredentialMissing},
		{"another master key", harness.Get("/events", harness.NewMasterKey(t, "p256").Issue(t, harness.OU("mail"))), refusal.CertificateUntrusted},
		{"another client", harness.Get("/events", m.Issue(t, harness.OU("social"))), refusal.AccessDenied},
		{"denied client", harness.Get("/events", m.Issue(t, harness.OU("leaked"))), refusal.AccessDenied},
		{"another path", harness.Get("/secret", mail.Certificate), refusal.AccessDenied},
		{"ambiguous path", harness.Get("/events/../secret", mail.Certificate), refusal.PathAmbiguous},
		{"not signed", read.Post("{}"), refusal.ProofMissing},
		{"sent twice", add, refusal.ProofReplayed},
	} {
		// Not a subtest: only this test starts processes with -short.
		if a := harness.Send(t, g.Addr, test.request); a.Problem(t).Reason != string(test.reason) {
			t.Errorf("%s: want %s, found %d %s", test.name, test.reason, a.Status, a.Body)
		}
	}
	g.Upstream.WantNothing(t)
}
