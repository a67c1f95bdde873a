package proxies

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// tlsFiles returns the configurations that only terminate TLS.
func tlsFiles() []string {
	return []string{"nginx-tls.conf", "haproxy-tls.cfg", "caddy-tls.Caddyfile", "apache-tls.conf"}
}

// mutualFiles returns the configurations that request the client's certificate. The values
// change them so that they also accept clients without one, as their comments describe.
func mutualFiles() map[string]*strings.Replacer {
	return map[string]*strings.Replacer{
		"nginx-mtls.conf":      strings.NewReplacer("ssl_verify_client on;", "ssl_verify_client optional;"),
		"haproxy-mtls.cfg":     strings.NewReplacer(" verify required ", " verify optional "),
		"caddy-mtls.Caddyfile": strings.NewReplacer("mode require_and_verify", "mode verify_if_given"),
		"apache-mtls.conf":     strings.NewReplacer("SSLVerifyClient require", "SSLVerifyClient optional"),
		"envoy-mtls.yaml":      strings.NewReplacer("require_client_certificate: true", "require_client_certificate: false"),
		"traefik-mtls.yaml":    strings.NewReplacer("clientAuthType: RequireAndVerifyClientCert", "clientAuthType: VerifyClientCertIfGiven"),
	}
}

// wantNoFlaws runs every check of a configuration.
func (f *proxiedGateway) wantNoFlaws(t *testing.T) {
	t.Helper()
	for name, flaw := range f.flaws() {
		t.Run(name, func(t *testing.T) {
			if found := flaw(t); found != "" {
				t.Error(found)
			}
			f.gateway.Upstream.Take()
		})
	}
}

// TestTLSProxies checks that a real proxy that terminates TLS forwards the client's
// certificate unchanged.
func TestTLSProxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	large := c.clients.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa4096"})
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, file)
			f.start(t, file, nil)
			f.wantNoFlaws(t)
			for _, form := range certheader.Forms() {
				t.Run(string(form), func(t *testing.T) {
					harness.WantClientHeaders(t, f.wantMail(t, harness.GetWithCredential(c.mail.HeaderValue(form))), "mail", "bearer", c.mail)
					harness.WantClientHeaders(t, f.wantMail(t, harness.GetWithCredential(large.HeaderValue(form))), "mail", "bearer", large)
				})
			}
			t.Run("too long", func(t *testing.T) {
				a := f.sendAsMail(t, harness.GetWithCredential(strings.Repeat("M", 16<<10+1)))
				f.gateway.WantProblem(t, a, refusal.CredentialTooLarge)
				f.gateway.Upstream.WantNothing(t)
			})
			t.Run("body", func(t *testing.T) {
				body := harness.EventJSON(strings.Repeat("x", 100_000))
				if a := f.sendAsMail(t, harness.Get("/events", c.mail).Post(body)); a.Status != http.StatusOK {
					t.Errorf("want 200, found %d", a.Status)
				}
				if found := f.gateway.Upstream.Take(); !strings.HasSuffix(found, body) {
					t.Errorf("want the whole body at the upstream, found %d bytes", len(found))
				}
			})
			t.Run("no certificate", func(t *testing.T) {
				f.gateway.WantProblem(t, f.sendAsMail(t, harness.PlainGet("/events")), refusal.CredentialMissing)
				spoofed := harness.PlainGet("/events").With(f.attached(f.header), "X-Client-Id: social")
				f.gateway.WantProblem(t, f.sendAsMail(t, spoofed), refusal.ProxyUntrusted)
				f.gateway.Upstream.WantNothing(t)
			})
		})
	}
}

// TestHTTP2Proxies checks that proxies accept the same certificates and delete the same
// headers with HTTP/2.
func TestHTTP2Proxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	for _, file := range []string{"haproxy-tls.cfg", "haproxy-mtls.cfg", "caddy-tls.Caddyfile", "caddy-mtls.Caddyfile", "envoy-mtls.yaml", "traefik-mtls.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, file)
			f.start(t, file, nil)
			spoofed := f.social.HeaderValue(certheader.Base64DER)
			for value, as := range map[string]harness.Certificate{
				c.mail.HeaderValue(certheader.PercentPEM): c.mail, c.mail.HeaderValue(certheader.SpacedPEM): c.mail, c.long.HeaderValue(certheader.Base64DER): c.long,
			} {
				header := http.Header{"X-Ssl-Auth": {value}}
				shown := "bearer"
				if f.mutual {
					header = http.Header{
						"X-Ssl-Auth": {value}, f.header: {spoofed}, strings.ReplaceAll(strings.ToLower(f.header), "-", "_"): {spoofed},
					}
					as, shown = c.mail, "mtls"
				}
				if status := f.overHTTP2(t, header, f.handshakes()...); status != http.StatusOK {
					t.Fatalf("want 200 for %d bytes, found %d", len(value), status)
				}
				harness.WantClientHeaders(t, f.gateway.Upstream.WantOne(t), "mail", shown, as)
			}
		})
	}
}

// TestUntrustedProxies checks that X-Forwarded-* of a proxy counts only with
// TRUSTED_PROXIES.
func TestUntrustedProxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGatewayWith(t, c, file, nil)
			f.start(t, file, nil)
			head := f.wantMail(t, harness.Get("/events", c.mail))
			for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"} {
				if found := harness.HeaderValues(head, name); !slices.Equal(found, []string{want}) {
					t.Errorf("%s: want %q, found %q", name, want, found)
				}
			}
			if !strings.Contains(f.recorder.Take(), clientAddress) {
				t.Error("want the proxy to name the client, found it silent")
			}
		})
	}
}

// TestMutualTLSProxies checks that a real proxy attaches the certificate of the client's
// handshake, independent of what the client sends in that header.
func TestMutualTLSProxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	otherKey := harness.NewMasterKey(t, "p256")
	past := time.Now().Add(-time.Minute)
	handshakes := map[string][]tls.Certificate{
		"no certificate":           nil,
		"an untrusted certificate": {tlsKeyPair(t, otherKey, otherKey.Issue(t, harness.OU("mail")))},
		"an expired certificate":   {tlsKeyPair(t, c.clients, c.clients.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", NotAfter: past}))},
		"a server's certificate":   {tlsKeyPair(t, c.clients, c.clients.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Extensions: serverExtensions}))},
	}
	for file, optional := range mutualFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, file)
			f.start(t, file, nil)
			f.wantNoFlaws(t)
			for name, pairs := range handshakes {
				t.Run(name, func(t *testing.T) { f.wantRefusedByProxy(t, pairs) })
			}
		})
		t.Run(file+" optional", func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, file)
			f.start(t, file, optional.Replace)
			f.wantNoFlaws(t)
			a, err := f.send(t, harness.PlainGet("/events").With(f.attached(f.header)))
			if err != nil {
				t.Fatal(err)
			}
			f.gateway.WantProblem(t, a, refusal.CredentialMissing)
			if a, err := f.send(t, harness.Get("/events", c.social)); err != nil || a.Status != http.StatusOK {
				t.Fatalf("want X-SSL-Auth to count without a certificate, found %d and %v", a.Status, err)
			}
			harness.WantClientHeaders(t, f.gateway.Upstream.WantOne(t), "social", "bearer", c.social)
			f.wantRefusedByProxy(t, handshakes["an untrusted certificate"])
		})
	}
}

const serverExtensions = `basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
`

// wantRefusedByProxy checks that the proxy refuses requests with either credential itself.
func (f *proxiedGateway) wantRefusedByProxy(t *testing.T, pairs []tls.Certificate) {
	t.Helper()
	f.recorder.Take()
	for _, r := range []harness.Request{harness.Get("/events", f.social), harness.PlainGet("/events").With(f.attached(f.header))} {
		if a, err := f.send(t, r, pairs...); err == nil && (a.Status < 400 || a.Status >= 500) {
			t.Errorf("want the proxy to refuse, found %d", a.Status)
		}
	}
	if found := f.recorder.Take(); found != "" {
		t.Errorf("want nothing at the gateway, found %d bytes", len(found))
	}
}
