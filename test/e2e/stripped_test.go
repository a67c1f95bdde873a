package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestStrippedFields checks that no name of the documented table arrives at the upstream
// with a client's value, in any spelling.
func TestStrippedFields(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, env)
			g.CheckLogAtEnd(t)
			for _, group := range headers.Stripped() {
				if group.Kind == headers.HopByHop || group.Kind == headers.Framing { // they change the request itself
					continue
				}
				// Names that the fast path parses, and names that it passes to net/http.
				for _, separators := range []string{"-_", ".~!"} {
					r := harness.Get("/events", mail).With("X-Kept: kept")
					for _, pattern := range group.Names {
						name := strings.ReplaceAll(pattern, "*", "Forged")
						for _, c := range separators {
							r = r.With(strings.ReplaceAll(name, "-", string(c)) + ": forged")
						}
					}
					head := g.WantAllowed(t, r)
					wantIdentity(t, head, "mail", mail)
					if text := strings.Join(head, "\n"); strings.Contains(text, "forged") || !strings.Contains(text, "X-Kept: kept") {
						t.Errorf("%s: want nothing forged and all else at the upstream, found %q", group.Meaning, head)
					}
				}
			}
		})
	}
}

// TestForwardedHost checks that with PUBLIC_AUTHORITY the upstream gets one of these hosts,
// whether or not the request is signed.
func TestForwardedHost(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, env.With(harness.Env{"PUBLIC_AUTHORITY": "schedule.example.com", "TRUSTED_PROXIES": "127.0.0.1"}))
			for _, r := range []harness.Request{harness.Get("/events", mail), harness.Get("/events", mail).With("X-Forwarded-Host: evil.example")} {
				head := g.WantAllowed(t, r)
				if found := harness.HeaderValues(head, headers.ForwardedHost); len(found) != 1 || found[0] != "schedule.example.com" {
					t.Errorf("want %s: schedule.example.com, found %q", headers.ForwardedHost, found)
				}
			}
		})
	}
}

// TestConnectionOptionLimit checks that 64 options in Connection are forwarded and that
// more are refused, counting empty elements and all lines.
func TestConnectionOptionLimit(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, env)
			head := g.WantAllowed(t, harness.Get("/events", mail).With("Connection: "+strings.Repeat(",", 63)+"X-Listed", "X-Listed: no", "X-Kept: kept"))
			if text := strings.Join(head, "\n"); strings.Contains(text, "X-Listed") || !strings.Contains(text, "X-Kept: kept") {
				t.Errorf("want X-Kept without X-Listed, found %q", head)
			}
			for _, lines := range [][]string{
				{"Connection: " + strings.Repeat(",", 64)},
				{"Connection: " + strings.Repeat(",", 25000)},
				{"Connection: " + strings.Repeat(",", 32), "Connection: " + strings.Repeat("a,", 32)},
			} {
				a := g.WantRefused(t, harness.Get("/events", mail).With(lines...), refusal.RequestMalformed)
				if a.Status != http.StatusBadRequest {
					t.Errorf("status %d, want 400", a.Status)
				}
			}
		})
	}
}
