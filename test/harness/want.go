package harness

import (
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// WantVerifyRefused expects the reason in body, header and log of a /verify response, with
// status 401 or 403.
func WantVerifyRefused(t *testing.T, g *Gateway, a Response, reason refusal.Reason) {
	t.Helper()
	p, want := a.Problem(t), 403
	if reason.Status() == 401 {
		want = 401
	}
	if p.Reason != string(reason) || a.Status != want || p.Status != want || a.Header.Get("X-Certgate-Reason") != string(reason) {
		t.Errorf("want %d %s, found %d with %q and %+v", want, reason, a.Status, a.Header.Get("X-Certgate-Reason"), p)
	}
	g.CheckAuditLine(t, p.RequestID, func(t testing.TB, line AuditLine) {
		t.Helper()
		if line.Reason != string(reason) || line.Surface != "verify" || line.Status != want || line.Detail == "" {
			t.Errorf("want %s of verify with a detail in the log, found %+v", reason, line)
		}
	})
}

// WantAllowed sends r and expects it at the upstream, once. It returns the header lines
// there.
func (g *Gateway) WantAllowed(t *testing.T, r Request) []string {
	t.Helper()
	a := Send(t, g.Addr, r)
	if a.Status != 200 {
		t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
	}
	g.CheckAuditLine(t, a.Header.Get("X-Request-Id"), func(t testing.TB, line AuditLine) {
		t.Helper()
		if line.Decision != "allowed" || line.Reason != "" || line.Status != 200 {
			t.Errorf("want an allowed request in the log, found %+v", line)
		}
	})
	return g.Upstream.WantOne(t)
}

// WantRefused sends r and expects the reason in response and log, and no byte at the
// upstream.
func (g *Gateway) WantRefused(t *testing.T, r Request, reason refusal.Reason) Response {
	t.Helper()
	a := Send(t, g.Addr, r)
	g.Upstream.WantNothing(t)
	g.WantProblem(t, a, reason)
	return a
}

// WantProblem checks the response to a refused request and its audit line.
func (g *Gateway) WantProblem(t *testing.T, a Response, reason refusal.Reason) {
	t.Helper()
	p := a.Problem(t)
	want := Problem{"urn:certgate:" + string(reason), reason.Title(), p.Detail, reason.Status(), string(reason), p.RequestID}
	if p != want || a.Status != reason.Status() {
		t.Errorf("want %+v, found %+v with status %d", want, p, a.Status)
	}
	if p.RequestID == "" || a.Header.Get("X-Request-Id") != p.RequestID {
		t.Errorf("want the request id in the header, too, found %q and %q", p.RequestID, a.Header.Get("X-Request-Id"))
	}
	challenge := a.Header.Get("WWW-Authenticate")
	if a.Status == 401 && !strings.Contains(challenge, string(reason)) || a.Status != 401 && challenge != "" {
		t.Errorf("status %d: want a challenge with 401 and only then, found %q", a.Status, challenge)
	}
	if found := a.Header.Values("Cache-Control"); !slices.Equal(found, []string{"no-store"}) {
		t.Errorf("want a refusal with Cache-Control no-store, found %q", found)
	}
	g.CheckAuditLine(t, p.RequestID, func(t testing.TB, line AuditLine) {
		t.Helper()
		if line.Reason != string(reason) || line.Status != a.Status || line.Decision == "allowed" || line.Detail == "" {
			t.Errorf("want %s with a detail in the log, found %+v", reason, line)
		}
		found, hint, _ := strings.Cut(line.Detail, ". ")
		if strings.Contains(a.Body, found) || p.Detail != "" && p.Detail != hint {
			t.Errorf("want only the hint of the detail %q in the response, found %q", line.Detail, p.Detail)
		}
	})
}

// WantClientHeaders expects one client identity in the header lines of an upstream request,
// with the form of authentication, and no credential.
func WantClientHeaders(t *testing.T, head []string, client, auth string, c Certificate) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Client-Id": client, "X-Client-Auth": auth,
		"X-Client-Cert-Serial": c.Serial(), "X-Client-Cert-Fingerprint": c.Fingerprint(),
	} {
		if found := HeaderValues(head, name); !slices.Equal(found, []string{want}) {
			t.Errorf("%s: want %q once, found %q", name, want, found)
		}
	}
	for _, name := range []string{"X-SSL-Auth", "Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert"} {
		if found := HeaderValues(head, name); len(found) != 0 {
			t.Errorf("want no %s at the upstream, found one", name)
		}
	}
}
