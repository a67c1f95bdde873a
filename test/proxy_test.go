package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// wantShown wants one client at the upstream, and how it showed possession.
func wantShown(t *testing.T, head []string, client, auth string, c certificate) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Client-Id": client, "X-Client-Auth": auth,
		"X-Client-Cert-Serial": c.serial(), "X-Client-Cert-Fingerprint": c.fingerprint(),
	} {
		if found := headerValues(head, name); !slices.Equal(found, []string{want}) {
			t.Errorf("%s: want %q once, found %q", name, want, found)
		}
	}
	for _, name := range []string{"X-SSL-Auth", "Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert"} {
		if found := headerValues(head, name); len(found) != 0 {
			t.Errorf("want no %s at the upstream, found one", name)
		}
	}
}

// fromProxy asks as the proxy does that has seen the certificate in a handshake.
func fromProxy(c certificate) request {
	return plainGet("/events").with("Client-Cert: " + c.header(certheader.RFC9440))
}

// TestProxyHeader: what a trusted proxy attaches counts, and what stands beside
// it does not.
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "p256"), newMaster(t, "p256")
	mail, social, forged := m.issue(t, subject("mail")), m.issue(t, subject("social")), stranger.issue(t, subject("mail"))
	g := newGateway(t, m, environment{"AUTH_PROXY_HEADER": "client-cert", "TRUSTED_PROXIES": "127.0.0.1/32"})

	attached := "X-SSL-Auth: " + social.header(certheader.Base64PEM)
	wantShown(t, g.wantAllowed(t, fromProxy(mail)), "mail", "mtls", mail)
	wantShown(t, g.wantAllowed(t, fromProxy(mail).with(attached)), "mail", "mtls", mail)
	wantShown(t, g.wantAllowed(t, fromProxy(mail).with("X-SSL-Auth: hunter2")), "mail", "mtls", mail)
	// A proxy that saw no certificate does not set the header.
	wantShown(t, g.wantAllowed(t, get("/events", social)), "social", "bearer", social)
	if line := g.audit(t, func(l auditLine) bool { return l.Client == "mail" }); line.Auth != "mtls" {
		t.Errorf("want mtls in the log, found %+v", line)
	}

	for _, test := range []struct {
		name   string
		lines  []string
		reason refusal.Reason
	}{
		{"empty", []string{"Client-Cert:"}, refusal.CredentialMissing},
		{"broken", []string{"Client-Cert: :AA=="}, refusal.CredentialMalformed},
		{"a stranger's", fromProxy(forged).header, refusal.CertificateUntrusted},
		{"two lines", append(fromProxy(mail).header, fromProxy(mail).header...), refusal.CredentialDuplicated},
		{"two lines, one empty", append(fromProxy(mail).header, "client-cert:"), refusal.CredentialDuplicated},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.wantRefused(t, plainGet("/events").with(test.lines...), test.reason)
			// The client's own certificate does not help it.
			g.wantRefused(t, plainGet("/events").with(test.lines...).with(attached), test.reason)
		})
	}
	t.Run("another proxy's header", func(t *testing.T) {
		other := "X-Forwarded-Client-Cert: " + mail.header(certheader.XFCC)
		g.wantRefused(t, plainGet("/events").with(other), refusal.ProxyUntrusted)
		wantShown(t, g.wantAllowed(t, get("/events", social).with(other)), "social", "bearer", social)
		wantShown(t, g.wantAllowed(t, fromProxy(mail).with(other)), "mail", "mtls", mail)
	})
	t.Run("another spelling", func(t *testing.T) {
		r := plainGet("/events").with("Client_Cert: " + mail.header(certheader.RFC9440))
		g.wantRefused(t, r, refusal.CredentialMissing)
		wantShown(t, g.wantAllowed(t, r.with(attached)), "social", "bearer", social)
	})
}

// TestProxyHeaderFromAnybody: from everyone but the proxies the same header
// proves nothing.
func TestProxyHeaderFromAnybody(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
	for name, env := range map[string]environment{
		"other proxies": {"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "10.0.0.0/8"},
		"no header":     {"TRUSTED_PROXIES": "127.0.0.1/32"},
		"neither":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, env)
			g.wantRefused(t, fromProxy(mail), refusal.ProxyUntrusted)
			g.wantRefused(t, plainGet("/events").with("Client-Cert:"), refusal.ProxyUntrusted)
			g.wantRefused(t, fromProxy(mail).with("X-Forwarded-For: 10.0.0.1"), refusal.ProxyUntrusted)
			wantShown(t, g.wantAllowed(t, fromProxy(mail).with(get("/", social).header...)), "social", "bearer", social)
			wantShown(t, g.wantAllowed(t, get("/events", social).with("Client-Cert:")), "social", "bearer", social)
			g.wantRefused(t, fromProxy(mail).with("X-SSL-Auth: hunter2"), refusal.CredentialMalformed)
		})
	}
}

// TestProxyHeaderSettings: a proxy's header without proxies is a fault.
func TestProxyHeaderSettings(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	for name, env := range map[string]environment{
		"no proxies":          {"AUTH_PROXY_HEADER": "Client-Cert"},
		"the clients' header": {"AUTH_PROXY_HEADER": "x_ssl_auth", "TRUSTED_PROXIES": "127.0.0.1/32"},
		"empty":               {"AUTH_PROXY_HEADER": "", "TRUSTED_PROXIES": "127.0.0.1/32"},
	} {
		result := finish(t, "certgate", minimal(t, m).with(env), "check")
		if result.code != 2 || !strings.Contains(result.stderr, "AUTH_PROXY_HEADER: ") {
			t.Errorf("%s: want exit code 2 for AUTH_PROXY_HEADER, found %+v", name, result)
		}
	}
}
