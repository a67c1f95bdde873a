package test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestEveryReason brings about each refusal beside a request that differs from
// it in one way and passes.
func TestEveryReason(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "rsa"), newMaster(t, "rsa")
	hung := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/slow":
			select {
			case <-hung:
			case <-r.Context().Done():
			}
		}
	})
	t.Cleanup(func() { close(hung) })
	g := serve(t, u, settings(m.publicKey, u).with(environment{
		"ACCESS_RULES":         everybodyReadsAndAdds + "deny:\n  - client: leaked\n",
		"AUTH_MAX_LIFETIME":    "720h",
		"MAX_BODY_BYTES":       "1KiB",
		"MAX_CREDENTIAL_BYTES": "8KiB",
		"UPSTREAM_TIMEOUT":     "5s", // good requests meet it, too
		"READ_TIMEOUT":         "5s",
	}))

	now, day := time.Now(), 24*time.Hour
	mail := m.issue(t, subject("mail"))
	base := get("/events", mail)
	as := func(o certificateOptions) request { return get("/events", m.issue(t, o)) }
	tests := []struct {
		name      string
		reason    refusal.Reason
		good, bad request
		forwarded bool // the upstream is at fault, or is cut off
	}{
		{"dot segment", refusal.PathAmbiguous, base, get("/public/../events", mail), false},
		{"two lengths", refusal.RequestAmbiguous,
			base.post("0\r\n\r\n").with("Transfer-Encoding: chunked"), base.post("0\r\n\r\n").with("Content-Length: 5", "Transfer-Encoding: chunked"), false},
		{"posted health check", refusal.MethodNotAllowed, request{method: "GET", target: "/events/healthz", header: base.header}, request{method: "POST", target: "/healthz"}, false},

		{"no header", refusal.CredentialMissing, base, request{method: "GET", target: "/events"}, false},
		{"empty header", refusal.CredentialMissing, base, credential(""), false},
		{"broken base64", refusal.CredentialMalformed, base, credential(strings.TrimRight(mail.header(certheader.Base64DER), "=")[:500]), false},
		{"no certificate", refusal.CredentialMalformed, base, credential(base64.StdEncoding.EncodeToString([]byte("0\x82 what?"))), false},
		{"a password", refusal.CredentialMalformed, base, credential("hunter2"), false},
		{"a private key", refusal.CredentialPrivateKey, base, credential(url.PathEscape(strings.ReplaceAll(string(mail.pem), "CERTIFICATE", "PRIVATE KEY"))), false},
		{"two headers", refusal.CredentialDuplicated, base, base.with(base.header[0]), false},
		{"a proxy's header", refusal.ProxyUntrusted, base, plainGet("/events").with("Client-Cert: " + mail.header(certheader.RFC9440)), false},
		{"header too long", refusal.CredentialTooLarge, base, credential(strings.Repeat("M", 8<<10+1)), false},

		{"another master key", refusal.CertificateUntrusted, base, get("/events", stranger.issue(t, subject("mail"))), false},
		{"expired", refusal.CertificateExpired, as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(-9 * day), notAfter: now.Add(30 * time.Minute)}),
			as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(-9 * day), notAfter: now.Add(-30 * time.Minute)}), false},
		{"not valid yet", refusal.CertificateNotYetValid, base, as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(30 * time.Minute)}), false},
		{"SHA-1", refusal.CertificateWeak, as(certificateOptions{subject: "/OU=mail", digest: "sha256"}), as(certificateOptions{subject: "/OU=mail", digest: "sha1"}), false},
		{"MD5", refusal.CertificateWeak, as(certificateOptions{subject: "/OU=mail", digest: "sha256"}), as(certificateOptions{subject: "/OU=mail", digest: "md5"}), false},
		{"short key", refusal.CertificateWeak, as(certificateOptions{subject: "/OU=mail", key: "rsa"}), as(certificateOptions{subject: "/OU=mail", key: "rsa1024"}), false},
		{"a CA", refusal.CertificateUnsuitable, base, as(certificateOptions{subject: "/OU=mail", extensions: "basicConstraints = critical, CA:TRUE\nextendedKeyUsage = clientAuth\n"}), false},
		{"may sign certificates", refusal.CertificateUnsuitable, base, as(certificateOptions{subject: "/OU=mail", extensions: "basicConstraints = critical, CA:FALSE\nkeyUsage = keyCertSign\n"}), false},
		{"for servers", refusal.CertificateUnsuitable, as(certificateOptions{subject: "/OU=mail", extensions: "extendedKeyUsage = serverAuth, clientAuth\n"}),
			as(certificateOptions{subject: "/OU=mail", extensions: "extendedKeyUsage = serverAuth\n"}), false},
		{"critical extension", refusal.CertificateUnsuitable, as(certificateOptions{subject: "/OU=mail", extensions: clientExtensions + "1.2.3.4.5 = ASN1:NULL\n"}),
			as(certificateOptions{subject: "/OU=mail", extensions: clientExtensions + "1.2.3.4.5 = critical, ASN1:NULL\n"}), false},
		{"too long a life", refusal.CertificateLifetime, as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(-day), notAfter: now.Add(29 * day)}),
			as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(-day), notAfter: now.Add(29*day + time.Minute)}), false},

		{"no OU", refusal.IdentityMissing, base, as(certificateOptions{subject: "/CN=mail"}), false},
		{"two OUs", refusal.IdentityAmbiguous, base, as(certificateOptions{subject: "/OU=mail/OU=social"}), false},
		{"space behind", refusal.IdentityInvalid, base, as(subject("mail ")), false},
		{"comma", refusal.IdentityInvalid, base, as(subject("mail,social")), false},
		{"not ASCII", refusal.IdentityInvalid, base, as(subject("mаil")), false}, // the а is Cyrillic

		{"no rule", refusal.AccessDenied, base, request{method: "DELETE", target: "/events", header: base.header}, false},
		{"client denied", refusal.AccessDenied, as(subject("leaks")), as(subject("leaked")), false},

		{"no header", refusal.RequestMalformed, base, base.with("X-A : b"), false},
		{"unknown expectation", refusal.ExpectationFailed, base.post("a"), base.post("a").with("Expect: 200-ok"), false},
		{"body too large", refusal.BodyTooLarge, base.post(strings.Repeat("a", 1024)), base.post(strings.Repeat("a", 1025)), false},
		{"body stalls", refusal.RequestTimeout, base.post("12345").with("Content-Length: 5"), base.post("1234").with("Content-Length: 5"), true},
		{"upstream breaks off", refusal.UpstreamFailed, get("/whole", mail), get("/broken", mail), true},
		{"upstream is silent", refusal.UpstreamTimeout, get("/quick", mail), get("/slow", mail), true},
	}
	covered := map[refusal.Reason]bool{
		refusal.CertificateRevoked: true, // TestDenyList: the list is made after the certificate
		refusal.RevocationUnknown:  true, // TestRevocationLists
		refusal.LegacySharedKey:    true, // TestSharedKey
		refusal.ClientClosed:       true, // TestClientThatHangsUp: nobody is there for the answer
		refusal.Draining:           true, // TestDrain
		refusal.RateLimited:        true, // TestRate: the same request, once too often; TestFloodOfConnections
		refusal.Overloaded:         true, // TestInFlight, TestDeadUpstream
		refusal.PeerUntrusted:      true, // TestPeers
		refusal.OriginMissing:      true, // TestOrigin
		refusal.OriginAmbiguous:    true, // TestOrigin
		refusal.ProofMissing:       true, // TestProofRefusals, like the seven below
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
			g.wantAllowed(t, test.good)
			if !test.forwarded {
				g.wantRefused(t, test.bad, test.reason)
				return
			}
			g.wantProblem(t, send(t, g.addr, test.bad), test.reason)
			g.upstream.take()
		})
	}
	for _, reason := range refusal.Reasons() {
		if !covered[reason] {
			t.Errorf("want a request that is refused for %s, found none", reason)
		}
	}
}
