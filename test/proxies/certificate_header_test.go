package proxies

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// wantConfiguration expects a configuration that no test runs to be valid YAML at
// least, with everything filled in.
func wantConfiguration(t *testing.T, file string) {
	t.Helper()
	values := map[string]string{
		"SERVER_CERT": "/server.crt", "SERVER_KEY": "/server.key", "CLIENT_CA": "/ca.crt",
		"GATEWAY": "127.0.0.1:8080",
	}
	text := proxyOptions{file: file}.fill(t, string(harness.ReadFile(t, proxyFolder, file)), values, "/run", "127.0.0.1:443")
	var document map[string]any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document) == 0 {
		t.Errorf("%s: want YAML, found %v", file, err)
	}
	marksOf(t, file, text)
}

// startForTestProxy starts a gateway for which the test acts as the proxy.
func startForTestProxy(t *testing.T, header string) *harness.Gateway {
	t.Helper()
	_, issuer := harness.VectorCertificates(t)
	u := harness.NewUpstream(t, nil)
	env := harness.Env{"AUTH_PROXY_HEADER": header, "TRUSTED_PROXIES": "127.0.0.1/32"}
	return harness.StartGateway(t, u, harness.GatewayEnv(string(issuer.PEM), u).With(env))
}

// wantMutual expects the request at the upstream with mail's identity and the client address
// that the proxy reported, and without the headers that the proxy attached.
func wantMutual(t *testing.T, g *harness.Gateway, r harness.Request) {
	t.Helper()
	mail, _ := harness.VectorCertificates(t)
	head := g.WantAllowed(t, r)
	harness.WantClientHeaders(t, head, "mail", "mtls", mail)
	if found := harness.HeaderValues(head, "X-Forwarded-For"); !slices.Equal(found, []string{"192.0.2.7, 127.0.0.1"}) {
		t.Errorf("want the address that the proxy reported, found %q", found)
	}
	if found := harness.HeaderValues(head, "X-Forwarded-Proto"); !slices.Equal(found, []string{"https"}) {
		t.Errorf("want https, found %q", found)
	}
	for _, line := range head {
		if strings.HasPrefix(strings.ToLower(line), "x-forwarded-tls-") {
			t.Error("want no certificate at the upstream, found one")
		}
	}
}

// vector is a header's value that a program wrote.
func vector(t *testing.T, name string) string {
	t.Helper()
	return string(harness.ReadFile(t, harness.VectorFolder, "vectors", name+".txt"))
}

// TestTraefikCertificateHeader sends what Traefik 3 writes: base64 of the DER of every
// certificate of the handshake, with commas between.
func TestTraefikCertificateHeader(t *testing.T) {
	t.Parallel()
	wantConfiguration(t, "traefik-mtls.yaml")
	g := startForTestProxy(t, "X-Forwarded-Tls-Client-Cert")
	from := func(value string) harness.Request {
		return harness.PlainGet("/events").With("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: app.example", "X-Forwarded-Port: 443",
			"X-Forwarded-Proto: https", "X-Forwarded-Server: edge", "X-Forwarded-Tls-Client-Cert: "+value, "X-Real-Ip: 192.0.2.7")
	}
	info := `X-Forwarded-Tls-Client-Cert-Info: Subject%3D%22OU%3Dsocial%22`
	wantMutual(t, g, from(vector(t, "haproxy-der")))
	wantMutual(t, g, from(vector(t, "der-chain")))
	wantMutual(t, g, from(vector(t, "haproxy-der")).With(info))
	g.WantRefused(t, harness.PlainGet("/events").With(info), refusal.CredentialMissing)
	// Traefik before 2.9.4 applied url.QueryEscape.
	escaped := strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(vector(t, "haproxy-der"))
	g.WantRefused(t, from(escaped), refusal.CredentialMalformed)
}

// TestEnvoyCertificateHeader sends recorded values in the form that TestEnvoyXFCC checks,
// and the examples of Envoy's documentation, which contain no certificate.
func TestEnvoyCertificateHeader(t *testing.T) {
	t.Parallel()
	g := startForTestProxy(t, "X-Forwarded-Client-Cert")
	from := func(value string) harness.Request {
		return harness.PlainGet("/events").With("x-forwarded-proto: https",
			"x-envoy-external-address: 192.0.2.7", "x-forwarded-client-cert: "+value, "x-forwarded-for: 192.0.2.7", "x-envoy-expected-rq-timeout-ms: 60000")
	}
	for _, name := range []string{"xfcc", "xfcc-envoy-order", "xfcc-chain", "xfcc-cert-and-chain"} {
		wantMutual(t, g, from(vector(t, name)))
	}
	const hash = "By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688"
	for name, value := range map[string]string{
		"without cert: true":  hash + `;Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client";URI=http://testclient.lyft.com`,
		"of two proxies":      hash + ";URI=http://testclient.lyft.com,By=http://backend.lyft.com;Hash=9ba61d64;URI=http://frontend.lyft.com",
		"APPEND_FORWARD":      vector(t, "xfcc") + "," + vector(t, "xfcc"),
		"the client's before": "Hash=00;" + `Cert="x",` + vector(t, "xfcc"),
	} {
		t.Run(name, func(t *testing.T) { g.WantRefused(t, from(value), refusal.CredentialMalformed) })
	}
	t.Run("no handshake", func(t *testing.T) {
		mail, _ := harness.VectorCertificates(t)
		harness.WantClientHeaders(t, g.WantAllowed(t, harness.PlainGet("/events").With("x-ssl-auth: "+mail.HeaderValue(certheader.Base64PEM))), "mail", "bearer", mail)
	})
}
