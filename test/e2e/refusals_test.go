package e2e

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/test/harness"
)

// TestEveryReason provokes each refusal with a request that differs from an accepted one in
// one way.
func TestEveryReason(t *testing.T) {
	t.Parallel()
	m, otherKey, partner := harness.NewMasterKey(t, "rsa"), harness.NewMasterKey(t, "rsa"), harness.NewMasterKey(t, "p256")
	partnerKeys, err := trust.ParseKeyring([]byte(partner.PublicKey), 0)
	if err != nil {
		t.Fatal(err)
	}
	scope := "anchors:\n  - key: " + partnerKeys.Anchors()[0].ID().Short() + "\n    clients: [partner]\n"
	start := func(t *testing.T) *harness.Gateway {
		t.Helper()
		u := harness.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/broken":
				panic(http.ErrAbortHandler)
			case "/slow":
				<-r.Context().Done()
			}
		})
		return harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey+partner.PublicKey, u).With(harness.Env{
			"ACCESS_RULES":         harness.AllowAllRules + scope + "deny:\n  - client: leaked\n",
			"AUTH_MAX_LIFETIME":    "720h",
			"MAX_BODY_BYTES":       "1KiB",
			"MAX_CREDENTIAL_BYTES": "8KiB",
			"UPSTREAM_TIMEOUT":     "5s", // good requests meet it, too
			"READ_TIMEOUT":         "5s",
		}))
	}
	g := start(t)
	g.CheckLogAtEnd(t)

	now, day := time.Now(), 24*time.Hour
	mail := m.Issue(t, harness.OU("mail"))
	base := harness.Get("/events", mail)
	as := func(o harness.CertificateOptions) harness.Request { return harness.Get("/events", m.Issue(t, o)) }
	tests := []struct {
		name      string
		reason    refusal.Reason
		good, bad harness.Request
		forwarded bool // the upstream is at fault, or is cut off
	}{
		{"dot segment", refusal.PathAmbiguous, base, harness.Get("/public/../events", mail), false},
		{"two lengths", refusal.RequestAmbiguous,
			base.Post("0\r\n\r\n").With("Transfer-Encoding: chunked"), base.Post("0\r\n\r\n").With("Content-Length: 5", "Transfer-Encoding: chunked"), false},
		{"posted health check", refusal.MethodNotAllowed, harness.Request{Method: "GET", Target: "/events/healthz", Header: base.Header}, harness.Request{Method: "POST", Target: "/healthz"}, false},

		{"no header", refusal.CredentialMissing, base, harness.Request{Method: "GET", Target: "/events"}, false},
		{"empty header", refusal.CredentialMissing, base, harness.GetWithCredential(""), false},
		{"broken base64", refusal.CredentialMalformed, base, harness.GetWithCredential(strings.TrimRight(mail.HeaderValue(certheader.Base64DER), "=")[:500]), false},
		{"no certificate", refusal.CredentialMalformed, base, harness.GetWithCredential(base64.StdEncoding.EncodeToString([]byte("0\x82 what?"))), false},
		{"a password", refusal.CredentialMalformed, base, harness.GetWithCredential("hunter2"), false},
		{"a private key", refusal.CredentialPrivateKey, base, harness.GetWithCredential(url.PathEscape(strings.ReplaceAll(string(mail.PEM), "CERTIFICATE", "PRIVATE KEY"))), false},
		{"two headers", refusal.CredentialDuplicated, base, base.With(base.Header[0]), false},
		{"a proxy's header", refusal.ProxyUntrusted, base, harness.PlainGet("/events").With("Client-Cert: " + mail.HeaderValue(certheader.RFC9440)), false},
		{"header too long", refusal.CredentialTooLarge, base, harness.GetWithCredential(strings.Repeat("M", 8<<10+1)), false},

		{"another master key", refusal.CertificateUntrusted, base, harness.Get("/events", otherKey.Issue(t, harness.OU("mail"))), false},
		{"expired", refusal.CertificateExpired, as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-9 * day), NotAfter: now.Add(30 * time.Minute)}),
			as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-9 * day), NotAfter: now.Add(-30 * time.Minute)}), false},
		{"not valid yet", refusal.CertificateNotYetValid, base, as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(30 * time.Minute)}), false},
		{"SHA-1", refusal.CertificateWeak, as(harness.CertificateOptions{Subject: "/OU=mail", Digest: "sha256"}), as(harness.CertificateOptions{Subject: "/OU=mail", Digest: "sha1"}), false},
		{"MD5", refusal.CertificateWeak, as(harness.CertificateOptions{Subject: "/OU=mail", Digest: "sha256"}), as(harness.CertificateOptions{Subject: "/OU=mail", Digest: "md5"}), false},
		{"short key", refusal.CertificateWeak, as(harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa"}), as(harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa1024"}), false},
		{"a CA", refusal.CertificateUnsuitable, base, as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "basicConstraints = critical, CA:TRUE\nextendedKeyUsage = clientAuth\n"}), false},
		{"may sign certificates", refusal.CertificateUnsuitable, base, as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "basicConstraints = critical, CA:FALSE\nkeyUsage = keyCertSign\n"}), false},
		{"for servers", refusal.CertificateUnsuitable, as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "extendedKeyUsage = serverAuth, clientAuth\n"}),
			as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "extendedKeyUsage = serverAuth\n"}), false},
		{"critical extension", refusal.CertificateUnsuitable, as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: harness.ClientExtensions + "1.2.3.4.5 = ASN1:NULL\n"}),
			as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: harness.ClientExtensions + "1.2.3.4.5 = critical, ASN1:NULL\n"}), false},
		{"a lifetime too long", refusal.CertificateLifetime, as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-day), NotAfter: now.Add(29 * day)}),
			as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-day), NotAfter: now.Add(29*day + time.Minute)}), false},

		{"no OU", refusal.IdentityMissing, base, as(harness.CertificateOptions{Subject: "/CN=mail"}), false},
		{"two OUs", refusal.IdentityAmbiguous, base, as(harness.CertificateOptions{Subject: "/OU=mail/OU=social"}), false},
		{"space behind", refusal.IdentityInvalid, base, as(harness.OU("mail ")), false},
		{"comma", refusal.IdentityInvalid, base, as(harness.OU("mail,social")), false},
		{"not ASCII", refusal.IdentityInvalid, base, as(harness.OU("mаil")), false}, // the а is Cyrillic
		{"a client of another key", refusal.IdentityOutOfScope, harness.Get("/events", partner.Issue(t, harness.OU("partner"))), harness.Get("/events", partner.Issue(t, harness.OU("mail"))), false},

		{"no rule", refusal.AccessDenied, base, harness.Request{Method: "DELETE", Target: "/events", Header: base.Header}, false},
		{"client denied", refusal.AccessDenied, as(harness.OU("leaks")), as(harness.OU("leaked")), false},

		{"no header", refusal.RequestMalformed, base, base.With("X-A : b"), false},
		{"unknown expectation", refusal.ExpectationFailed, base.Post("a"), base.Post("a").With("Expect: 200-ok"), false},
		{"body too large", refusal.BodyTooLarge, base.Post(strings.Repeat("a", 1024)), base.Post(strings.Repeat("a", 1025)), false},
		{"body stalls", refusal.RequestTimeout, base.Post("12345").With("Content-Length: 5"), base.Post("1234").With("Content-Length: 5"), true},
		{"upstream breaks off", refusal.UpstreamFailed, harness.Get("/whole", mail), harness.Get("/broken", mail), true},
		{"upstream is silent", refusal.UpstreamTimeout, harness.Get("/quick", mail), harness.Get("/slow", mail), true},
	}
	covered := map[refusal.Reason]bool{
		refusal.CertificateRevoked: true, // TestDenyList: the list is made after the certificate
		refusal.RevocationUnknown:  true, // TestRevocationLists
		refusal.LegacySharedKey:    true, // TestSharedMasterKey
		refusal.ClientClosed:       true, // TestIncompleteBodyIsLogged: the client has disconnected
		refusal.Draining:           true, // TestDrain
		refusal.RateLimited:        true, // TestRateLimit: the same request, once too often; TestFloodOfConnections
		refusal.Overloaded:         true, // TestInFlightLimit, TestCircuitBreaker
		refusal.PeerUntrusted:      true, // TestVerifyRefusesUnlistedPeers
		refusal.OriginMissing:      true, // TestVerifyRefusesAmbiguousOrigin
		refusal.OriginAmbiguous:    true, // TestVerifyRefusesAmbiguousOrigin
		refusal.ProofMissing:       true, // TestSignedRequestRefusals, like the seven below
		refusal.ProofMalformed:     true,
		refusal.ProofIncomplete:    true,
		refusal.ProofExpired:       true,
		refusal.ProofInvalid:       true,
		refusal.ProofDigest:        true,
		refusal.ProofReplayed:      true,
		refusal.ProofImpossible:    true,
		refusal.Internal:           true, // no request can bring it about
	}
	for _, test := range tests {
		covered[test.reason] = true
		t.Run(string(test.reason)+"/"+test.name, func(t *testing.T) {
			if test.forwarded { // most of these wait for a timeout
				t.Parallel()
				g := start(t)
				g.WantAllowed(t, test.good)
				g.WantProblem(t, harness.Send(t, g.Addr, test.bad), test.reason)
				return
			}
			g.WantAllowed(t, test.good)
			g.WantRefused(t, test.bad, test.reason)
		})
	}
	for _, reason := range refusal.Reasons() {
		if !covered[reason] {
			t.Errorf("want a request that is refused for %s, found none", reason)
		}
	}
}
