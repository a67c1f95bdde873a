package e2e

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// fromProxy returns a request of a proxy to which a client has sent the certificate in its TLS
// handshake.
func fromProxy(c harness.Certificate) harness.Request {
	return harness.PlainGet("/events").With("Client-Cert: " + c.HeaderValue(certheader.RFC9440))
}

// TestProxyHeaderOfTrustedProxy checks that the certificate header of a trusted proxy
// replaces the client's own credential.
func TestProxyHeaderOfTrustedProxy(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	mail, social, forged := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social")), otherKey.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"AUTH_PROXY_HEADER": "client-cert", "TRUSTED_PROXIES": "127.0.0.1/32"})
	g.CheckLogAtEnd(t)

	attached := "X-SSL-Auth: " + social.HeaderValue(certheader.Base64PEM)
	harness.WantClientHeaders(t, g.WantAllowed(t, fromProxy(mail)), "mail", "mtls", mail)
	harness.WantClientHeaders(t, g.WantAllowed(t, fromProxy(mail).With(attached)), "mail", "mtls", mail)
	harness.WantClientHeaders(t, g.WantAllowed(t, fromProxy(mail).With("X-SSL-Auth: hunter2")), "mail", "mtls", mail)
	// A proxy whose client sent no certificate does not set the header.
	harness.WantClientHeaders(t, g.WantAllowed(t, harness.Get("/events", social)), "social", "bearer", social)
	if line := g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Client == "mail" }); line.Auth != "mtls" {
		t.Errorf("want mtls in the log, found %+v", line)
	}

	for _, test := range []struct {
		name   string
		lines  []string
		reason refusal.Reason
	}{
		{"empty", []string{"Client-Cert:"}, refusal.CredentialMissing},
		{"broken", []string{"Client-Cert: :AA=="}, refusal.CredentialMalformed},
		{"another key's", fromProxy(forged).Header, refusal.CertificateUntrusted},
		{"two lines", append(fromProxy(mail).Header, fromProxy(mail).Header...), refusal.CredentialDuplicated},
		{"two lines, one empty", append(fromProxy(mail).Header, "client-cert:"), refusal.CredentialDuplicated},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.WantRefused(t, harness.PlainGet("/events").With(test.lines...), test.reason)
			// The client's own certificate does not help it.
			g.WantRefused(t, harness.PlainGet("/events").With(test.lines...).With(attached), test.reason)
		})
	}
	t.Run("another proxy's header", func(t *testing.T) {
		other := "X-Forwarded-Client-Cert: " + mail.HeaderValue(certheader.XFCC)
		g.WantRefused(t, harness.PlainGet("/events").With(other), refusal.ProxyUntrusted)
		harness.WantClientHeaders(t, g.WantAllowed(t, harness.Get("/events", social).With(other)), "social", "bearer", social)
		harness.WantClientHeaders(t, g.WantAllowed(t, fromProxy(mail).With(other)), "mail", "mtls", mail)
	})
	t.Run("another spelling", func(t *testing.T) {
		r := harness.PlainGet("/events").With("Client_Cert: " + mail.HeaderValue(certheader.RFC9440))
		g.WantRefused(t, r, refusal.CredentialMissing)
		harness.WantClientHeaders(t, g.WantAllowed(t, r.With(attached)), "social", "bearer", social)
	})
}

// TestProxyHeaderOfUntrustedPeer checks that the same header of any other peer is refused
// or ignored.
func TestProxyHeaderOfUntrustedPeer(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	for name, env := range map[string]harness.Env{
		"other proxies": {"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "10.0.0.0/8"},
		"no header":     {"TRUSTED_PROXIES": "127.0.0.1/32"},
		"neither":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, env)
			g.WantRefused(t, fromProxy(mail), refusal.ProxyUntrusted)
			g.WantRefused(t, harness.PlainGet("/events").With("Client-Cert:"), refusal.ProxyUntrusted)
			g.WantRefused(t, fromProxy(mail).With("X-Forwarded-For: 10.0.0.1"), refusal.ProxyUntrusted)
			harness.WantClientHeaders(t, g.WantAllowed(t, fromProxy(mail).With(harness.Get("/", social).Header...)), "social", "bearer", social)
			harness.WantClientHeaders(t, g.WantAllowed(t, harness.Get("/events", social).With("Client-Cert:")), "social", "bearer", social)
			g.WantRefused(t, fromProxy(mail).With("X-SSL-Auth: hunter2"), refusal.CredentialMalformed)
		})
	}
}

// TestProxyHeaderNeedsTrustedProxies checks that AUTH_PROXY_HEADER without TRUSTED_PROXIES
// is a configuration error.
func TestProxyHeaderNeedsTrustedProxies(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	for name, env := range map[string]harness.Env{
		"no proxies":          {"AUTH_PROXY_HEADER": "Client-Cert"},
		"the clients' header": {"AUTH_PROXY_HEADER": "x_ssl_auth", "TRUSTED_PROXIES": "127.0.0.1/32"},
		"empty":               {"AUTH_PROXY_HEADER": "", "TRUSTED_PROXIES": "127.0.0.1/32"},
	} {
		result := harness.Run(t, "certgate", minimal(t, m).With(env), "check")
		if result.ExitCode != 2 || !strings.Contains(result.Stderr, "AUTH_PROXY_HEADER: ") {
			t.Errorf("%s: want exit code 2 for AUTH_PROXY_HEADER, found %+v", name, result)
		}
	}
}
