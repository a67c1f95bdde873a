package proxies

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

const envoyMTLSFile = "envoy-mtls.yaml"

// certificateOf matches a certificate as Envoy writes it into X-Forwarded-Client-Cert:
// PEM that is percent-encoded, with a line break at its end.
const certificateOf = `-----BEGIN%20CERTIFICATE-----%0A[A-Za-z0-9%]+-----END%20CERTIFICATE-----%0A`

// withServerNames replaces the server certificate by one with URIs, which Envoy
// writes as By.
func (c *credentials) withServerNames(t *testing.T) {
	t.Helper()
	server := harness.NewMasterKey(t, "p256")
	own := server.Issue(t, harness.CertificateOptions{Subject: "/CN=app.example",
		Extensions: "subjectAltName = DNS:app.example, URI:spiffe://example/edge, URI:spiffe://example/second\n"})
	server.WriteFile(t, "server.crt", string(own.PEM))
	c.files["SERVER_CERT"], c.files["SERVER_KEY"] = filepath.Join(server.Dir, "server.crt"), filepath.Join(server.Dir, "p256.key")
	c.roots.AppendCertsFromPEM(server.ReadFile(t, server.CertFile))
}

// TestEnvoyXFCC checks the values that a real Envoy writes into X-Forwarded-Client-Cert, with
// every detail that it can add, and certgate's decision about them.
func TestEnvoyXFCC(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	c := newCredentials(t)
	c.withServerNames(t)
	named := func(names string) tls.Certificate {
		return tlsKeyPair(t, c.clients, c.clients.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Extensions: harness.ClientExtensions + "subjectAltName = " + names + "\n"}))
	}
	chain := c.handshake
	chain.Certificate = append(chain.Certificate[:1:1], tlsKeyPair(t, c.clients, c.social).Certificate[0])
	odd := tlsKeyPair(t, c.clients, c.clients.Issue(t, harness.CertificateOptions{Subject: `/O=a;b, "c"/OU=mail`}))
	const start = `By=spiffe://example/edge;By=spiffe://example/second;Hash=[0-9a-f]{64};Cert="` + certificateOf + `"`
	const everything = "cert: true, chain: true, subject: true, uri: true, dns: true"
	for _, tt := range []struct {
		name, details string
		handshake     tls.Certificate
		want          string // a regular expression of the field
		reason        refusal.Reason
	}{
		{"cert", "cert: true", c.handshake, start, ""},
		{"cert of a chain", "cert: true", chain, start, ""},
		{"chain", "cert: true, chain: true", c.handshake, start + `;Chain="` + certificateOf + `"`, ""},
		{"chain of two", "cert: true, chain: true", chain, start + `;Chain="` + certificateOf + certificateOf + `"`, ""},
		{"no names", everything, c.handshake, start + `;Chain="` + certificateOf + `";Subject="OU=mail";URI=`, ""},
		{"names", everything, named("URI:spiffe://example/mail, URI:spiffe://example/b, DNS:a.example, DNS:b.example"), start + `;Chain="` + certificateOf +
			`";Subject="OU=mail";URI=spiffe://example/mail;URI=spiffe://example/b;DNS=a.example;DNS=b.example`, ""},
		{"odd subject", everything, odd, start + `;Chain="` + certificateOf + `";Subject="OU=mail,O=a\\;b\\, \\"c\\"";URI=`, ""},
		// Envoy writes names without escaping, so that they can look like fields of its own.
		{"name with a field", everything, named("URI:spiffe://example/;Hash=00"), start + `;Chain="` + certificateOf + `";Subject="OU=mail";URI=spiffe://example/;Hash=00`,
			refusal.CredentialMalformed},
		{"name with an element", everything, named("@names\n[names]\nURI = spiffe://example/\\,Hash=00"), start + `;Chain="` + certificateOf + `";Subject="OU=mail";URI=spiffe://example/,Hash=00`,
			refusal.CredentialMalformed},
		{"name with a field, not added", "cert: true", named("URI:spiffe://example/;Hash=00"), start, ""},
		{"no certificate", "subject: true", c.handshake, `By=spiffe://example/edge;By=spiffe://example/second;Hash=[0-9a-f]{64};Subject="OU=mail"`, refusal.CredentialMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, envoyMTLSFile)
			f.start(t, envoyMTLSFile, func(text string) string {
				return strings.Replace(text, "set_current_client_cert_details: { cert: true }", "set_current_client_cert_details: { "+tt.details+" } #", 1)
			})
			a, err := f.send(t, harness.PlainGet("/events"), tt.handshake)
			if err != nil {
				t.Fatal(err)
			}
			found := harness.HeaderValues(strings.Split(f.recorder.Take(), "\r\n"), "X-Forwarded-Client-Cert")
			if len(found) != 1 || !regexp.MustCompile("^"+tt.want+"$").MatchString(found[0]) {
				t.Errorf("want %s, found %q", tt.want, found)
			}
			if tt.reason != "" {
				f.gateway.WantProblem(t, a, tt.reason)
				f.gateway.Upstream.WantNothing(t)
				return
			}
			if a.Status != http.StatusOK {
				t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
			}
			head := f.gateway.Upstream.WantOne(t)
			if client, shown := harness.HeaderValues(head, "X-Client-Id"), harness.HeaderValues(head, "X-Client-Auth"); strings.Join(append(client, shown...), " ") != "mail mtls" {
				t.Errorf("want mail by mtls, found %q by %q", client, shown)
			}
		})
	}
}

// TestEnvoySpoofedXFCC checks every value of forward_client_cert_details with a client
// that writes the field itself. The documented value removes the client's field.
// APPEND_FORWARD keeps it before Envoy's own, and certgate refuses both together. With the
// two others the client chooses its identity.
func TestEnvoySpoofedXFCC(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	c := newCredentials(t)
	for value, want := range map[string]struct {
		client string
		reason refusal.Reason
	}{
		"SANITIZE_SET":        {"mail", ""},
		"APPEND_FORWARD":      {"", refusal.CredentialMalformed},
		"FORWARD_ONLY":        {"social", ""},
		"ALWAYS_FORWARD_ONLY": {"social", ""},
		"SANITIZE":            {"", refusal.CredentialMissing},
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, envoyMTLSFile)
			f.start(t, envoyMTLSFile, func(text string) string {
				return strings.Replace(text, "forward_client_cert_details: SANITIZE_SET", "forward_client_cert_details: "+value+" #", 1)
			})
			a := f.sendAsMail(t, harness.PlainGet("/events").With(f.attached("x-forwarded-client-cert")))
			if want.reason != "" {
				f.gateway.WantProblem(t, a, want.reason)
				f.gateway.Upstream.WantNothing(t)
				return
			}
			if found := harness.HeaderValues(f.gateway.Upstream.WantOne(t), "X-Client-Id"); strings.Join(found, " ") != want.client {
				t.Errorf("want %s, found %q", want.client, found)
			}
		})
	}
}
