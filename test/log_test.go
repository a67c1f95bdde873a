package test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// lineOf reports whether the log of a process that has ended has the line of the
// request that got this answer.
func lineOf(p *process, a answer) bool {
	return strings.Contains(p.stderr.String(), `"request_id":"`+a.header.Get("X-Request-Id")+`"`)
}

// TestLogNamesTheCertificate: the line of a request has the client and the certificate
// whenever a key in force signed it, also when it is refused, and never for a forgery.
func TestLogNamesTheCertificate(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "p256"), newMaster(t, "p256")
	now, day := time.Now(), 24*time.Hour
	expired := certificateOptions{subject: "/OU=mail", notBefore: now.Add(-9 * day), notAfter: now.Add(-day)}
	revoked := m.issue(t, subject("mail"))
	shared := m.share(t, "mail")
	tests := []struct {
		name   string
		c      certificate
		reason refusal.Reason
		client string
	}{
		{"allowed", m.issue(t, subject("mail")), "", "mail"},
		{"denied", m.issue(t, subject("leaked")), refusal.AccessDenied, "leaked"},
		{"expired", m.issue(t, expired), refusal.CertificateExpired, "mail"},
		{"not yet valid", m.issue(t, certificateOptions{subject: "/OU=mail", notBefore: now.Add(day), notAfter: now.Add(2 * day)}), refusal.CertificateNotYetValid, "mail"},
		{"lifetime", m.issue(t, certificateOptions{subject: "/OU=mail", notBefore: now.Add(-day), notAfter: now.Add(99 * day)}), refusal.CertificateLifetime, "mail"},
		{"revoked", revoked, refusal.CertificateRevoked, "mail"},
		{"shared key", shared, refusal.LegacySharedKey, "mail"},
		{"no client name", m.issue(t, certificateOptions{subject: "/OU=mail,social"}), refusal.IdentityInvalid, ""},
		{"forged", stranger.issue(t, subject("mail")), refusal.CertificateUntrusted, ""},
		{"forged and expired", stranger.issue(t, expired), refusal.CertificateUntrusted, ""},
	}
	g := newGateway(t, m, environment{
		"AUTH_MAX_LIFETIME": "720h", "AUTH_ALLOW_SHARED_KEY": "false",
		"ACCESS_RULES": everybodyReadsAndAdds + "deny:\n  - client: leaked\n  - serial: \"" + revoked.serial() + "\"\n",
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := g.auditOf(t, send(t, g.addr, get("/events", tt.c)).header.Get("X-Request-Id"))
			if line.Reason != string(tt.reason) || line.Client != tt.client {
				t.Errorf("want client %q and reason %q, found %+v", tt.client, tt.reason, line)
			}
			if tt.reason == refusal.CertificateUntrusted {
				if line.Serial != "" || line.KeyID != "" || line.NotAfter != "" {
					t.Errorf("want nothing of a forged certificate, found %+v", line)
				}
				return
			}
			end := tt.c.parsed.NotAfter.UTC().Format(time.RFC3339)
			if line.Serial != tt.c.serial() || len(line.KeyID) != 16 || line.NotAfter != end || line.SharedKey != (tt.name == "shared key") {
				t.Errorf("want serial %s, key id and end %s, found %+v", tt.c.serial(), end, line)
			}
		})
	}
}

// TestLogIsWholeAtTheEnd: lines wait for others before they are written, and
// none is lost by an end in between.
func TestLogIsWholeAtTheEnd(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	var answers []answer
	for range 50 {
		answers = append(answers, send(t, g.addr, get("/events", mail)))
	}
	g.stop(t, terminate)
	for i, a := range answers {
		if !lineOf(g.process, a) {
			t.Errorf("want the line of request %d in the log", i+1)
		}
	}
}

// TestLogIsWholeAfterASecondSignal: that one ends the program without a word.
func TestLogIsWholeAfterASecondSignal(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	arrived := make(chan struct{}, 1)
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			arrived <- struct{}{}
			<-hold
		}
	})
	t.Cleanup(release)
	g := serve(t, u, settings(m.publicKey, u))
	held, late := dial(t, g.addr), dial(t, g.addr)
	held.write(t, get("/held", mail).String())
	<-arrived
	probe := get("/events", mail).String()
	late.write(t, probe[:10])
	g.signal(t, terminate)
	if _, err := g.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Fatal(err)
	}
	late.write(t, probe[10:])
	a := late.read(t, "GET")
	g.signal(t, terminate)
	g.wantExit(t, -1)
	if a.status != 200 || !lineOf(g.process, a) {
		t.Errorf("status %d: want 200 and its line in the log", a.status)
	}
}
