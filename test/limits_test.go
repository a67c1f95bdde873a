package test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestBodyLimit: a byte makes the difference, declared or not, and no part of a
// body that is too large can pass for the whole.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, environment{"MAX_BODY_BYTES": "64KiB"})
	post := get("/events", mail)
	fits := strings.Repeat("a", 64<<10)
	g.wantAllowed(t, post.post(fits))
	g.wantRefused(t, post.post(fits+"a"), refusal.BodyTooLarge)
	g.wantAllowed(t, post.post(chunked(fits, 4096)).with("Transfer-Encoding: chunked"))

	a := send(t, g.addr, post.post(chunked(fits+"a", 4096)).with("Transfer-Encoding: chunked"))
	g.wantProblem(t, a, refusal.BodyTooLarge)
	g.upstream.wantBroken(t)
	if found := g.upstream.take(); strings.HasSuffix(found, "\r\n0\r\n\r\n") {
		t.Error("want no end of the body at the upstream, found one")
	}
	g.wantAllowed(t, post)
}

// TestBodyIsNotReadBeforeTheDecision: who may not send gets an answer at once,
// however much there would be to send.
func TestBodyIsNotReadBeforeTheDecision(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	c := dial(t, g.addr)
	c.write(t, "POST /events HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000000\r\n\r\n")
	g.wantProblem(t, c.read(t, "POST"), refusal.CredentialMissing)
	g.upstream.wantNothing(t)

	c = dial(t, g.addr)
	c.write(t, get("/events", mail).post("").with("Content-Length: 2000000", "Expect: 100-continue").String())
	g.wantProblem(t, c.read(t, "POST"), refusal.BodyTooLarge)
	c.wantClosed(t)
	g.upstream.wantNothing(t)
}

// TestCredentialLimit: a byte makes the difference here, too.
func TestCredentialLimit(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, environment{"MAX_CREDENTIAL_BYTES": "4KiB"})
	g.wantAllowed(t, get("/events", m.issue(t, subject("mail"))))
	g.wantRefused(t, credential(strings.Repeat("M", 4<<10)), refusal.CredentialMalformed)
	g.wantRefused(t, credential(strings.Repeat("M", 4<<10+1)), refusal.CredentialTooLarge)

	// Far above the limit net/http answers itself.
	c := dial(t, g.addr)
	c.write(t, credential(strings.Repeat("M", 100<<10)).String())
	if a := c.read(t, "GET"); a.status != 431 {
		t.Errorf("want 431, found %d", a.status)
	}
	c.wantClosed(t)
	g.upstream.wantNothing(t)
}

// TestTwoCredentials: the next reader might take the other one.
func TestTwoCredentials(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail, social := get("/events", m.issue(t, subject("mail"))), get("/events", m.issue(t, subject("social")))
	g := newGateway(t, m, nil)
	g.wantAllowed(t, mail)
	g.wantAllowed(t, social)
	g.wantRefused(t, mail.with(social.header...), refusal.CredentialDuplicated)
	g.wantRefused(t, mail.with(strings.ToLower(mail.header[0][:10])+mail.header[0][10:]), refusal.CredentialDuplicated)
	g.wantRefused(t, mail.with("X-SSL-Auth:"), refusal.CredentialDuplicated)
}
