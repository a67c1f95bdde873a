package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

// TestClientCannotForgeIdentityHeaders sends forged identity headers with curl and expects
// the identity of the certificate at the upstream, once.
func TestClientCannotForgeIdentityHeaders(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	for name, lines := range map[string][]string{
		"nothing":        nil,
		"the header":     {"X-Client-Id: admin"},
		"other spelling": {"x-client-id: admin", "X_Client_Id: admin", "X-Client_Id: admin"},
		"listed away":    {"Connection: X-Client-Id, X-Client-Auth, X-Client-Cert-Serial, X-Client-Cert-Fingerprint, X-Client-Assertion, X-Forwarded-For"},
		"an assertion":   {"X-Client-Assertion: admin", "x_client_assertion: admin", "X.Client.Assertion: admin"},
		"by Connection":  {"X-Client-Id: admin", "X_Client_Id: admin", "Connection: X-Client-Id"},
		"authentication": {"X-Client-Auth: mtls", "X_CLIENT_AUTH: mtls", "X-Client-Cert-Serial: 00", "X-Client-Cert-Fingerprint: 00"},
		"proxy headers":  {"X-Forwarded-For: 10.0.0.1", "X_Forwarded_For: 10.0.0.1", "X-Forwarded-Host: admin", "X-Forwarded-Proto: https", "X_SSL_Auth: admin"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--silent", "--show-error", "--fail", "--max-time", "30",
				"-H", "Host: app.example", "-H", "X-SSL-Auth: " + mail.HeaderValue(certheader.Base64PEM)}
			for _, line := range lines {
				args = append(args, "-H", line)
			}
			result := harness.RunProgram(t, "curl", nil, append(args, "http://"+g.Addr+"/events")...)
			if result.ExitCode != 0 {
				t.Fatalf("curl: %d %s", result.ExitCode, result.Stderr)
			}
			head := g.Upstream.WantOne(t)
			wantIdentity(t, head, "mail", mail)
			if text := strings.Join(head, "\n"); strings.Contains(text, "admin") {
				t.Errorf("want nothing of what the client claimed, found %q", text)
			}
		})
	}
}

// TestDangerousHeadersAreStripped sends headers that would change the meaning of the
// request, each with a harmless one that has a similar name.
func TestDangerousHeadersAreStripped(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	head := g.WantAllowed(t, harness.Get("/events", mail).With(
		"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE",
		"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X_Original_URL: /admin",
		"Client-Cert: :AA==:", "Client-Cert-Chain: :AA==:", "X-Forwarded-Client-Cert: Hash=0", "X-Forwarded-Tls-Client-Cert: 0",
		"Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1", "X-Request-Id: mine", "Proxy: http://evil.example",
		"Expect-CT: kept", "X-Clients: kept", "Cookie: a=b", "Authorization: Bearer kept",
	))
	for _, line := range head[1:] {
		name, value, _ := strings.Cut(line, ": ")
		lower := strings.ToLower(name)
		if strings.Contains(lower, "override") || strings.HasSuffix(lower, "url") || strings.HasPrefix(lower, "client-cert") ||
			slices.Contains([]string{"x-http-method", "forwarded", "x-real-ip", "proxy"}, lower) || value == "mine" || value == "Hash=0" {
			t.Errorf("want no such header at the upstream, found %q", line)
		}
	}
	for _, line := range []string{"Expect-Ct: kept", "X-Clients: kept", "Cookie: a=b", "Authorization: Bearer kept"} {
		if !slices.Contains(head, line) {
			t.Errorf("want %q at the upstream, found %q", line, head)
		}
	}
}

// TestForwardedHeadersOfTrustedProxy checks that X-Forwarded-* counts only from an address
// in TRUSTED_PROXIES.
func TestForwardedHeadersOfTrustedProxy(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	r := harness.Get("/events", mail).With("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Request-Id: from-the-proxy")
	tests := []struct {
		name, proxies, source, forwardedFor, proto string
		trusted                                    bool
	}{
		{"trusted", "127.0.0.0/8", "192.0.2.7", "192.0.2.7, 127.0.0.1", "https", true},
		{"another", "10.0.0.0/8", "127.0.0.1", "127.0.0.1", "http", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, harness.Env{"TRUSTED_PROXIES": test.proxies})
			head := g.WantAllowed(t, r)
			for name, want := range map[string]string{"X-Forwarded-For": test.forwardedFor, "X-Forwarded-Proto": test.proto} {
				if found := harness.HeaderValues(head, name); len(found) != 1 || found[0] != want {
					t.Errorf("%s: want %q, found %q", name, want, found)
				}
			}
			if trusted := harness.HeaderValues(head, "X-Request-Id")[0] == "from-the-proxy"; trusted != test.trusted {
				t.Errorf("want the request id of the proxy used: %t", test.trusted)
			}
			if !strings.Contains(g.Stderr.String(), `"source":"`+test.source+`"`) {
				t.Errorf("want the source %s in the log", test.source)
			}
		})
	}
}

// TestCredentialHeaderIsConfigurable checks that AUTH_HEADER changes the name of the
// credential's header.
func TestCredentialHeaderIsConfigurable(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"AUTH_HEADER": "x-app-certificate"})
	moved := harness.Request{Method: "GET", Target: "/events", Header: []string{"X-App-Certificate: " + mail.HeaderValue(certheader.Base64DER)}}
	head := g.WantAllowed(t, moved)
	if found := harness.HeaderValues(head, "X-App-Certificate"); len(found) != 0 {
		t.Error("want no credential at the upstream, found one")
	}
	a := g.WantRefused(t, harness.Get("/events", mail), "credential_missing")
	if challenge := a.Header.Get("WWW-Authenticate"); !strings.Contains(strings.ToLower(challenge), `header="x-app-certificate"`) {
		t.Errorf("want the header's name in the challenge, found %q", challenge)
	}
}
