package e2e

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestBodyLimit sends bodies of the limit and one byte more, with and without a declared
// length.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"MAX_BODY_BYTES": "64KiB"})
	post := harness.Get("/events", mail)
	fits := strings.Repeat("a", 64<<10)
	g.WantAllowed(t, post.Post(fits))
	g.WantRefused(t, post.Post(fits+"a"), refusal.BodyTooLarge)
	g.WantAllowed(t, post.Post(harness.Chunked(fits, 4096)).With("Transfer-Encoding: chunked"))

	a := harness.Send(t, g.Addr, post.Post(harness.Chunked(fits+"a", 4096)).With("Transfer-Encoding: chunked"))
	g.WantProblem(t, a, refusal.BodyTooLarge)
	g.Upstream.WantIncompleteRequest(t)
	if found := g.Upstream.Take(); strings.HasSuffix(found, "\r\n0\r\n\r\n") {
		t.Error("want no end of the body at the upstream, found one")
	}
	g.WantAllowed(t, post)
}

// TestBodyIsNotReadBeforeTheDecision checks that a refused client gets its response before
// it has sent its body.
func TestBodyIsNotReadBeforeTheDecision(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	c := harness.Dial(t, g.Addr)
	c.Send(t, "POST /events HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000000\r\n\r\n")
	g.WantProblem(t, c.ReadResponse(t, "POST"), refusal.CredentialMissing)
	g.Upstream.WantNothing(t)

	c = harness.Dial(t, g.Addr)
	c.Send(t, harness.Get("/events", mail).Post("").With("Content-Length: 2000000", "Expect: 100-continue").String())
	g.WantProblem(t, c.ReadResponse(t, "POST"), refusal.BodyTooLarge)
	c.WantClosed(t)
	g.Upstream.WantNothing(t)
}

// TestCredentialSizeLimit sends a credential of the limit and one byte more.
func TestCredentialSizeLimit(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.Env{"MAX_CREDENTIAL_BYTES": "4KiB"})
	g.WantAllowed(t, harness.Get("/events", m.Issue(t, harness.OU("mail"))))
	g.WantRefused(t, harness.GetWithCredential(strings.Repeat("M", 4<<10)), refusal.CredentialMalformed)
	g.WantRefused(t, harness.GetWithCredential(strings.Repeat("M", 4<<10+1)), refusal.CredentialTooLarge)

	// Far above the limit, net/http writes the response.
	c := harness.Dial(t, g.Addr)
	c.Send(t, harness.GetWithCredential(strings.Repeat("M", 100<<10)).String())
	if a := c.ReadResponse(t, "GET"); a.Status != 431 {
		t.Errorf("want 431, found %d", a.Status)
	}
	c.WantClosed(t)
	g.Upstream.WantNothing(t)
}

// TestDuplicateCredentials checks that two credential headers are refused.
func TestDuplicateCredentials(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social := harness.Get("/events", m.Issue(t, harness.OU("mail"))), harness.Get("/events", m.Issue(t, harness.OU("social")))
	g := harness.NewGateway(t, m, nil)
	g.WantAllowed(t, mail)
	g.WantAllowed(t, social)
	g.WantRefused(t, mail.With(social.Header...), refusal.CredentialDuplicated)
	g.WantRefused(t, mail.With(strings.ToLower(mail.Header[0][:10])+mail.Header[0][10:]), refusal.CredentialDuplicated)
	g.WantRefused(t, mail.With("X-SSL-Auth:"), refusal.CredentialDuplicated)
}
