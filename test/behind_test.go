package test

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// tlsFiles returns the configurations that only end TLS.
func tlsFiles() []string {
	return []string{"nginx-tls.conf", "haproxy-tls.cfg", "caddy-tls.Caddyfile", "apache-tls.conf"}
}

// mutualFiles returns the configurations that ask for the client's certificate. The values
// change them so that they also accept clients without one, as their comments say.
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
func (f *front) wantNoFlaws(t *testing.T) {
	t.Helper()
	for name, flaw := range f.flaws() {
		t.Run(name, func(t *testing.T) {
			if found := flaw(t); found != "" {
				t.Error(found)
			}
			f.gateway.upstream.take()
		})
	}
}

// TestBehindTLS checks that a real proxy that ends TLS forwards the client's certificate
// unchanged.
func TestBehindTLS(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	large := c.clients.issue(t, certificateOptions{subject: "/OU=mail", key: "rsa4096"})
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, c, file)
			f.start(t, file, nil)
			f.wantNoFlaws(t)
			for _, form := range certheader.Forms() {
				t.Run(string(form), func(t *testing.T) {
					wantShown(t, f.wantMail(t, credential(c.mail.header(form))), "mail", "bearer", c.mail)
					wantShown(t, f.wantMail(t, credential(large.header(form))), "mail", "bearer", large)
				})
			}
			t.Run("too long", func(t *testing.T) {
				a := f.asMail(t, credential(strings.Repeat("M", 16<<10+1)))
				f.gateway.wantProblem(t, a, refusal.CredentialTooLarge)
				f.gateway.upstream.wantNothing(t)
			})
			t.Run("body", func(t *testing.T) {
				body := eventBody(strings.Repeat("x", 100_000))
				if a := f.asMail(t, get("/events", c.mail).post(body)); a.status != http.StatusOK {
					t.Errorf("want 200, found %d", a.status)
				}
				if found := f.gateway.upstream.take(); !strings.HasSuffix(found, body) {
					t.Errorf("want the whole body at the upstream, found %d bytes", len(found))
				}
			})
			t.Run("nobody", func(t *testing.T) {
				f.gateway.wantProblem(t, f.asMail(t, plainGet("/events")), refusal.CredentialMissing)
				spoofed := plainGet("/events").with(f.attached(f.header), "X-Client-Id: social")
				f.gateway.wantProblem(t, f.asMail(t, spoofed), refusal.ProxyUntrusted)
				f.gateway.upstream.wantNothing(t)
			})
		})
	}
}

// TestBehindHTTP2 checks that proxies accept the same certificates and delete the same
// headers with HTTP/2.
func TestBehindHTTP2(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for _, file := range []string{"haproxy-tls.cfg", "haproxy-mtls.cfg", "caddy-tls.Caddyfile", "caddy-mtls.Caddyfile", "envoy-mtls.yaml", "traefik-mtls.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, c, file)
			f.start(t, file, nil)
			spoofed := f.social.header(certheader.Base64DER)
			for value, as := range map[string]certificate{
				c.mail.header(certheader.PercentPEM): c.mail, c.mail.header(certheader.SpacedPEM): c.mail, c.long.header(certheader.Base64DER): c.long,
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
				wantShown(t, f.gateway.upstream.wantOne(t), "mail", shown, as)
			}
		})
	}
}

// TestBehindUntrusted checks that X-Forwarded-* of a proxy counts only with
// TRUSTED_PROXIES.
func TestBehindUntrusted(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newFrontWith(t, c, file, nil)
			f.start(t, file, nil)
			head := f.wantMail(t, get("/events", c.mail))
			for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"} {
				if found := headerValues(head, name); !slices.Equal(found, []string{want}) {
					t.Errorf("%s: want %q, found %q", name, want, found)
				}
			}
			if !strings.Contains(f.tap.take(), clientAddress) {
				t.Error("want the proxy to name the client, found it silent")
			}
		})
	}
}

// TestBehindMutualTLS checks that a real proxy attaches the certificate of the client's
// handshake, whatever the client itself sends in that header.
func TestBehindMutualTLS(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	stranger := newMaster(t, "p256")
	past := time.Now().Add(-time.Minute)
	handshakes := map[string][]tls.Certificate{
		"no certificate":         nil,
		"a strange certificate":  {keyPair(t, stranger, stranger.issue(t, subject("mail")))},
		"an expired certificate": {keyPair(t, c.clients, c.clients.issue(t, certificateOptions{subject: "/OU=mail", notAfter: past}))},
		"a server's certificate": {keyPair(t, c.clients, c.clients.issue(t, certificateOptions{subject: "/OU=mail", extensions: serverExtensions}))},
	}
	for file, optional := range mutualFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, c, file)
			f.start(t, file, nil)
			f.wantNoFlaws(t)
			for name, pairs := range handshakes {
				t.Run(name, func(t *testing.T) { f.wantRefusedByProxy(t, pairs) })
			}
		})
		t.Run(file+" optional", func(t *testing.T) {
			t.Parallel()
			f := newFront(t, c, file)
			f.start(t, file, optional.Replace)
			f.wantNoFlaws(t)
			a, err := f.ask(t, plainGet("/events").with(f.attached(f.header)))
			if err != nil {
				t.Fatal(err)
			}
			f.gateway.wantProblem(t, a, refusal.CredentialMissing)
			if a, err := f.ask(t, get("/events", c.social)); err != nil || a.status != http.StatusOK {
				t.Fatalf("want X-SSL-Auth to count without a certificate, found %d and %v", a.status, err)
			}
			wantShown(t, f.gateway.upstream.wantOne(t), "social", "bearer", c.social)
			f.wantRefusedByProxy(t, handshakes["a strange certificate"])
		})
	}
}

const serverExtensions = `basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
`

// wantRefusedByProxy wants nothing to reach the gateway, with either credential.
func (f *front) wantRefusedByProxy(t *testing.T, pairs []tls.Certificate) {
	t.Helper()
	f.tap.take()
	for _, r := range []request{get("/events", f.social), plainGet("/events").with(f.attached(f.header))} {
		if a, err := f.ask(t, r, pairs...); err == nil && (a.status < 400 || a.status >= 500) {
			t.Errorf("want the proxy to refuse, found %d", a.status)
		}
	}
	if found := f.tap.take(); found != "" {
		t.Errorf("want nothing at the gateway, found %d bytes", len(found))
	}
}
