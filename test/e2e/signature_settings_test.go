package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestProofSettingOfRule checks that a rule's proof setting overrides AUTH_PROOF.
func TestProofSettingOfRule(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	rules := `rules:
  - {name: signed, clients: [mail], allow: ["GET /signed"], proof: require}
  - {name: seen, clients: [mail], allow: ["GET /seen", "POST /seen"], proof: observe}
  - {name: "off", clients: [mail], allow: ["GET /off"], proof: "off"}
  - {name: unsaid, clients: [mail], allow: ["GET /unsaid"]}
`
	for _, setting := range []string{"off", "observe", "require"} {
		t.Run(setting, func(t *testing.T) {
			g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF": setting, "ACCESS_RULES": rules}))
			wantAuth := func(r harness.Request, auth string) harness.AuditLine {
				t.Helper()
				head := g.WantAllowed(t, r)
				if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{auth}) {
					t.Errorf("%s: want X-Client-Auth: %s, found %q", r.Target, auth, found)
				}
				return g.AuditLineOf(t, harness.HeaderValues(head, "X-Request-Id")[0])
			}
			bearer := func(target string) harness.Request {
				return harness.PlainRequest("GET", target).With("X-SSL-Auth: " + c.HeaderValue(certheader.Base64DER))
			}
			signed := func(target string) harness.Request {
				return c.Sign(t, harness.PlainRequest("GET", target), harness.SignatureOptions{})
			}

			g.WantRefused(t, bearer("/signed"), refusal.ProofMissing)
			wantAuth(signed("/signed"), "signed")
			wantAuth(bearer("/off"), "bearer")
			wantAuth(signed("/off"), "bearer")

			if l := wantAuth(bearer("/seen"), "bearer"); l.WouldRefuse != string(refusal.ProofMissing) {
				t.Errorf("want would_refuse proof_missing, found %+v", l)
			}
			once := signed("/seen")
			if l := wantAuth(once, "signed"); l.WouldRefuse != "" || l.Auth != "signed" {
				t.Errorf("want a signed request, found %+v", l)
			}
			if l := wantAuth(once, "bearer"); l.WouldRefuse != string(refusal.ProofReplayed) {
				t.Errorf("want would_refuse proof_replayed, found %+v", l)
			}
			other := c.Sign(t, harness.PlainRequest("POST", "/seen").Post("body"), harness.SignatureOptions{})
			other.Body = "ydob"
			if l := wantAuth(other, "bearer"); l.WouldRefuse != string(refusal.ProofDigest) {
				t.Errorf("want would_refuse proof_digest, found %+v", l)
			}

			switch setting {
			case "require":
				g.WantRefused(t, bearer("/unsaid"), refusal.ProofMissing)
				wantAuth(signed("/unsaid"), "signed")
			case "observe":
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "signed")
			default:
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "bearer")
			}
		})
	}
}

// TestMutualTLSNeedsNoSignature checks that a client that a trusted proxy authenticated by
// TLS need not sign.
func TestMutualTLSNeedsNoSignature(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "127.0.0.1"}))
	c := NewSigner(t, m, harness.OU("mail"))
	head := g.WantAllowed(t, harness.PlainRequest("GET", "/events").With("Client-Cert: "+c.HeaderValue(certheader.RFC9440)))
	if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"mtls"}) {
		t.Errorf("want X-Client-Auth: mtls, found %q", found)
	}
	g.WantRefused(t, harness.Get("/events", c.Certificate), refusal.ProofMissing)
}

// TestSignedAuthority checks that a signature is valid for PUBLIC_AUTHORITY only, or for
// the request's host without it.
func TestSignedAuthority(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	signed := func(authority string) harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Authority: authority})
	}
	t.Run("public", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "Schedule.example.com:443, other.example:8443"})
		head := g.WantAllowed(t, signed("schedule.example.com"))
		// The service gets the host that was signed, not the one that a proxy wrote.
		if found := harness.HeaderValues(head, "X-Forwarded-Host"); !slices.Equal(found, []string{"schedule.example.com"}) {
			t.Errorf("want X-Forwarded-Host: schedule.example.com, found %q", found)
		}
		g.WantRefused(t, signed("app.example"), refusal.ProofInvalid)
	})
	t.Run("host", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require"})
		g.WantAllowed(t, signed("app.example"))
		g.WantRefused(t, signed("schedule.example.com"), refusal.ProofInvalid)
		// From an untrusted peer.
		g.WantRefused(t, signed("schedule.example.com").With("X-Forwarded-Host: schedule.example.com"), refusal.ProofInvalid)
		if _, err := g.Stderr.WaitLine(func(l string) bool { return strings.Contains(l, "PUBLIC_AUTHORITY") }); err != nil {
			t.Errorf("want a warning that names PUBLIC_AUTHORITY: %v", err)
		}
	})
	t.Run("trusted proxy", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require", "TRUSTED_PROXIES": "127.0.0.1"})
		g.WantAllowed(t, signed("schedule.example.com").With("X-Forwarded-Host: schedule.example.com"))
	})
}

// TestSignedCredentialHeader checks that a signature must cover the field that AUTH_HEADER
// names.
func TestSignedCredentialHeader(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_HEADER": "X-App-Cert"}))
	g.WantAllowed(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Header: "X-App-Cert"}))
	other := c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}).With("X-App-Cert: " + c.HeaderValue(certheader.Base64DER))
	a := g.WantRefused(t, other, refusal.ProofIncomplete)
	if accept := a.Header.Get("Accept-Signature"); !strings.Contains(accept, `"x-app-cert"`) {
		t.Errorf("want Accept-Signature to name the header, found %q", accept)
	}
}

// TestLegacyRSASignatures checks that rsa-v1_5-sha256 is accepted only where the setting
// allows it.
func TestLegacyRSASignatures(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	c := NewSigner(t, m, harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa"})
	legacy := func() harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{LegacyRSA: true})
	}
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	g.WantRefused(t, legacy(), refusal.ProofInvalid)
	g = harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF_LEGACY_RSA": "true"}))
	g.WantAllowed(t, legacy())
	g.WantAllowed(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}))
}

// TestSignatureValidityPeriod checks the validity period of signatures to the second, with
// AUTH_CLOCK_SKEW.
func TestSignatureValidityPeriod(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_CLOCK_SKEW": "10m"})) // five minutes of it apply
	at := func(created, lifetime time.Duration) harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Created: time.Now().Add(created), Lifetime: lifetime})
	}
	const leeway, moment = 5 * time.Minute, 45 * time.Second
	g.WantAllowed(t, at(0, 5*time.Minute))
	g.WantAllowed(t, at(-leeway-time.Minute+moment, time.Minute))
	g.WantRefused(t, at(-leeway-time.Minute-2*time.Second, time.Minute), refusal.ProofExpired)
	g.WantAllowed(t, at(leeway-2*time.Second, time.Minute))
	g.WantRefused(t, at(leeway+moment, time.Minute), refusal.ProofExpired)
}
