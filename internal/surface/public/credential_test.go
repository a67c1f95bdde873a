package public

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestProxyHeader checks that the credential header of clients and that of proxies are
// trusted independently of each other.
func TestProxyHeader(t *testing.T) {
	w := newCertificates(t)
	mail, social, other := encode(w.mail), encode(w.social), encode(w.other)
	const proxy = "Client-Cert"
	tests := []struct {
		name    string
		header  string // the setting
		trusted bool
		send    []string
		want    refusal.Reason
		auth    string // at the upstream
	}{
		{"trusted", proxy, true, []string{"Client-Cert: " + mail}, "", "mtls"},
		{"trusted, setting in another case", "client-cert", true, []string{"CLIENT-CERT: " + mail}, "", "mtls"},
		{"trusted, no certificate from the proxy", proxy, true, []string{"X-SSL-Auth: " + mail}, "", "bearer"},
		{"trusted, the client's header is ignored", proxy, true, []string{"Client-Cert: " + mail, "X-SSL-Auth: " + other}, "", "mtls"},
		{"trusted, a valid client header does not replace an untrusted one", proxy, true, []string{"Client-Cert: " + other, "X-SSL-Auth: " + mail}, refusal.CertificateUntrusted, ""},
		{"trusted, a valid client header does not replace a denied one", proxy, true, []string{"Client-Cert: " + social, "X-SSL-Auth: " + mail}, refusal.AccessDenied, ""},
		{"trusted, empty", proxy, true, []string{"Client-Cert:", "X-SSL-Auth: " + mail}, refusal.CredentialMissing, ""},
		{"trusted, twice", proxy, true, []string{"Client-Cert: " + mail, "Client-Cert: " + mail}, refusal.CredentialDuplicated, ""},
		{"trusted, twice, one empty", proxy, true, []string{"Client-Cert:", "Client-Cert: " + mail}, refusal.CredentialDuplicated, ""},
		{"trusted, with underscores", proxy, true, []string{"Client_Cert: " + mail}, refusal.CredentialMissing, ""},
		{"trusted, in another header", proxy, true, []string{"X-Forwarded-Client-Cert: " + mail}, refusal.ProxyUntrusted, ""},

		{"untrusted", proxy, false, []string{"Client-Cert: " + mail}, refusal.ProxyUntrusted, ""},
		{"untrusted, empty", proxy, false, []string{"Client-Cert:"}, refusal.ProxyUntrusted, ""},
		{"untrusted, the client's header is used", proxy, false, []string{"Client-Cert: " + other, "X-SSL-Auth: " + mail}, "", "bearer"},
		{"untrusted, only the client's header is used", proxy, false, []string{"Client-Cert: " + mail, "X-SSL-Auth: " + other}, refusal.CertificateUntrusted, ""},

		{"not set", "", true, []string{"Client-Cert: " + mail}, refusal.ProxyUntrusted, ""},
		{"not set, the client's header is used", "", true, []string{"Client-Cert: " + other, "X-SSL-Auth: " + mail}, "", "bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, func(b *fixture) {
				b.provenance.ProxyHeader = tt.header
				if tt.trusted {
					b.provenance.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				}
			})
			res := b.send(t, request("GET /events/ HTTP/1.1", tt.send...))
			if tt.want != "" {
				wantProblem(t, res, tt.want)
				if n := b.forwarded(); n != 0 {
					t.Errorf("the upstream got %d requests, want none", n)
				}
				return
			}
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d %s, want 200", res.StatusCode, res.Text)
			}
			got := <-b.requests
			if auth := got.Header["X-Client-Auth"]; len(auth) != 1 || auth[0] != tt.auth {
				t.Errorf("X-Client-Auth %q, want %s", auth, tt.auth)
			}
			for name := range got.Header {
				if strings.Contains(strings.ToLower(name), "cert") && !strings.HasPrefix(name, "X-Client-Cert-") || strings.Contains(name, "Ssl") {
					t.Errorf("the upstream got %s", name)
				}
			}
			if record := b.record(t); record["auth"] != tt.auth || record["client"] != "mail" {
				t.Errorf("record %v: want mail by %s", record, tt.auth)
			}
		})
	}
}

// TestProxyHeaderFromAnotherAddress checks that trust depends on the address of the peer
// and not on the addresses in its X-Forwarded-For.
func TestProxyHeaderFromAnotherAddress(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, func(b *fixture) {
		b.provenance.ProxyHeader = "Client-Cert"
		b.provenance.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	res := b.send(t, request("GET /events/ HTTP/1.1", "Client-Cert: "+encode(w.mail), "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Real-Ip: 192.0.2.1"))
	wantProblem(t, res, refusal.ProxyUntrusted)
}
