package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// lineOf reports whether the log of a process that has ended has the line of the
// request with this response.
func lineOf(p *harness.Process, a harness.Response) bool {
	return strings.Contains(p.Stderr.String(), `"request_id":"`+a.Header.Get("X-Request-Id")+`"`)
}

// TestLogNamesVerifiedCertificates checks that the log line of a request names client and
// certificate when a key in force signed it, and never for a forgery.
func TestLogNamesVerifiedCertificates(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	now, day := time.Now(), 24*time.Hour
	expired := harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-9 * day), NotAfter: now.Add(-day)}
	revoked := m.Issue(t, harness.OU("mail"))
	shared := m.IssueOverMasterKey(t, "mail")
	tests := []struct {
		name   string
		c      harness.Certificate
		reason refusal.Reason
		client string
	}{
		{"allowed", m.Issue(t, harness.OU("mail")), "", "mail"},
		{"denied", m.Issue(t, harness.OU("leaked")), refusal.AccessDenied, "leaked"},
		{"expired", m.Issue(t, expired), refusal.CertificateExpired, "mail"},
		{"not yet valid", m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(day), NotAfter: now.Add(2 * day)}), refusal.CertificateNotYetValid, "mail"},
		{"lifetime", m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-day), NotAfter: now.Add(99 * day)}), refusal.CertificateLifetime, "mail"},
		{"revoked", revoked, refusal.CertificateRevoked, "mail"},
		{"shared key", shared, refusal.LegacySharedKey, "mail"},
		{"no client name", m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail,social"}), refusal.IdentityInvalid, ""},
		{"forged", otherKey.Issue(t, harness.OU("mail")), refusal.CertificateUntrusted, ""},
		{"forged and expired", otherKey.Issue(t, expired), refusal.CertificateUntrusted, ""},
	}
	g := harness.NewGateway(t, m, harness.Env{
		"AUTH_MAX_LIFETIME": "720h", "AUTH_ALLOW_SHARED_KEY": "false",
		"ACCESS_RULES": harness.AllowAllRules + "deny:\n  - client: leaked\n  - serial: \"" + revoked.Serial() + "\"\n",
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := g.AuditLineOf(t, harness.Send(t, g.Addr, harness.Get("/events", tt.c)).Header.Get("X-Request-Id"))
			if line.Reason != string(tt.reason) || line.Client != tt.client {
				t.Errorf("want client %q and reason %q, found %+v", tt.client, tt.reason, line)
			}
			if tt.reason == refusal.CertificateUntrusted {
				if line.Serial != "" || line.KeyID != "" || line.NotAfter != "" {
					t.Errorf("want nothing of a forged certificate, found %+v", line)
				}
				return
			}
			end := tt.c.Parsed.NotAfter.UTC().Format(time.RFC3339)
			if line.Serial != tt.c.Serial() || len(line.KeyID) != 16 || line.NotAfter != end || line.SharedKey != (tt.name == "shared key") {
				t.Errorf("want serial %s, key id and end %s, found %+v", tt.c.Serial(), end, line)
			}
		})
	}
}

// TestLogIsFlushedOnShutdown checks that no buffered log line is lost on SIGTERM.
func TestLogIsFlushedOnShutdown(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	var answers []harness.Response
	for range 50 {
		answers = append(answers, harness.Send(t, g.Addr, harness.Get("/events", mail)))
	}
	g.Stop(t, harness.Terminate)
	for i, a := range answers {
		if !lineOf(g.Process, a) {
			t.Errorf("want the line of request %d in the log", i+1)
		}
	}
}

// TestLogIsFlushedOnSecondSignal checks that no buffered log line is lost when a second
// signal ends the drain.
func TestLogIsFlushedOnSecondSignal(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	arrived := make(chan struct{}, 1)
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	u := harness.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			arrived <- struct{}{}
			<-hold
		}
	})
	t.Cleanup(release)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u))
	held, late := harness.Dial(t, g.Addr), harness.Dial(t, g.Addr)
	held.Send(t, harness.Get("/held", mail).String())
	<-arrived
	probe := harness.Get("/events", mail).String()
	late.Send(t, probe[:10])
	g.Signal(t, harness.Terminate)
	if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Fatal(err)
	}
	late.Send(t, probe[10:])
	a := late.ReadResponse(t, "GET")
	g.Signal(t, harness.Terminate)
	g.WantExit(t, -1)
	if a.Status != 200 || !lineOf(g.Process, a) {
		t.Errorf("status %d: want 200 and its line in the log", a.Status)
	}
}
