package pki

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestVerifierAcceptsIssuedCertificates checks that the gateway's verifier accepts issued
// certificates under the CA certificate and under the bare key, with a maximum lifetime
// that equals the certificate's.
func TestVerifierAcceptsIssuedCertificates(t *testing.T) {
	for _, algorithm := range []Algorithm{Ed25519, P256, RSA2048} {
		options := goodOptions()
		options.Algorithm = algorithm
		a := mustNew(t, options)
		key := mustGenerate(t, algorithm)
		issued, err := a.Issue(Request{Client: "mail", PublicKey: key.Public(), Lifetime: day, Now: epoch})
		wantError(t, err, "")
		tests := []struct {
			name        string
			anchor      []byte
			certificate *x509.Certificate
		}{
			{"CA certificate", a.CertificatePEM(), issued},
			{"bare key", a.PublicKeyPEM(), issued},
		}
		for _, test := range tests {
			t.Run(string(algorithm)+" "+test.name, func(t *testing.T) {
				verified, err := newVerifier(t, test.anchor).Verify(test.certificate, epoch)
				wantError(t, err, "")
				client, err := identity.OU.Reader().Of(verified)
				wantError(t, err, "")
				if client.Name() != "mail" {
					t.Errorf("want the client mail, found %q", client.Name())
				}
			})
		}
	}
}

func newVerifier(t *testing.T, anchor []byte) *trust.Verifier {
	t.Helper()
	keyring, err := trust.ParseKeyring(anchor, minRSABits)
	wantError(t, err, "")
	revocations, err := trust.NewRevocations(nil)
	wantError(t, err, "")
	return trust.NewVerifier(keyring, revocations, trust.Limits{MinRSABits: minRSABits, MaxLifetime: day, ClockSkew: time.Second})
}
