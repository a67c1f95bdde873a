package test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestStrippedFields: no name of the documented table, in any spelling, arrives at the
// upstream with a client's value.
func TestStrippedFields(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	for lane, environ := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, environ)
			for _, group := range headers.Stripped() {
				if group.Kind == headers.Hop || group.Kind == headers.Framing { // they change the request itself
					continue
				}
				// Names that the fast path takes, and names that it leaves to net/http.
				for _, separators := range []string{"-_", ".~!"} {
					r := get("/events", mail).with("X-Kept: kept")
					for _, pattern := range group.Names {
						name := strings.ReplaceAll(pattern, "*", "Forged")
						for _, c := range separators {
							r = r.with(strings.ReplaceAll(name, "-", string(c)) + ": forged")
						}
					}
					head := g.wantAllowed(t, r)
					wantIdentity(t, head, "mail", mail)
					if text := strings.Join(head, "\n"); strings.Contains(text, "forged") || !strings.Contains(text, "X-Kept: kept") {
						t.Errorf("%s: want nothing forged and all else at the upstream, found %q", group.Meaning, head)
					}
				}
			}
		})
	}
}

// TestForwardedHost: with PUBLIC_AUTHORITY the service is told one of these hosts, also
// of a request that is not signed and says another one.
func TestForwardedHost(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	for lane, environ := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, environ.with(environment{"PUBLIC_AUTHORITY": "schedule.example.com", "TRUSTED_PROXIES": "127.0.0.1"}))
			for _, r := range []request{get("/events", mail), get("/events", mail).with("X-Forwarded-Host: evil.example")} {
				head := g.wantAllowed(t, r)
				if found := headerValues(head, headers.ForwardedHost); len(found) != 1 || found[0] != "schedule.example.com" {
					t.Errorf("want %s: schedule.example.com, found %q", headers.ForwardedHost, found)
				}
			}
		})
	}
}

// TestConnectionOptions: a request that lists 64 options in Connection is forwarded,
// and one that lists more is refused, empty elements and further lines included.
func TestConnectionOptions(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	for lane, environ := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, environ)
			head := g.wantAllowed(t, get("/events", mail).with("Connection: "+strings.Repeat(",", 63)+"X-Listed", "X-Listed: no", "X-Kept: kept"))
			if text := strings.Join(head, "\n"); strings.Contains(text, "X-Listed") || !strings.Contains(text, "X-Kept: kept") {
				t.Errorf("want X-Kept without X-Listed, found %q", head)
			}
			for _, lines := range [][]string{
				{"Connection: " + strings.Repeat(",", 64)},
				{"Connection: " + strings.Repeat(",", 25000)},
				{"Connection: " + strings.Repeat(",", 32), "Connection: " + strings.Repeat("a,", 32)},
			} {
				a := g.wantRefused(t, get("/events", mail).with(lines...), refusal.RequestMalformed)
				if a.status != http.StatusBadRequest {
					t.Errorf("status %d, want 400", a.status)
				}
			}
		})
	}
}
