package trust_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestSignatureLength checks that signatures of another length are refused and that
// genuine signatures of every kind of key are accepted.
func TestSignatureLength(t *testing.T) {
	for _, kind := range []string{"rsa:2048", "rsa:3072", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := newOpenSSL(t)
			public, certificate := o.newCA("ca", kind)
			o.key("mail", "ec:P-256")
			good := o.client(clientOptions{ca: "ca", key: "mail"})
			for _, anchor := range [][]byte{public, certificate} {
				verifier := trust.NewVerifier(keyring(t, anchor), nil, trust.Limits{})
				v, err := verifier.Verify(good, midValidity(good))
				check(t, good, v, err, "")
				for _, signature := range [][]byte{nil, good.Signature[1:], append(bytes.Clone(good.Signature), 0), make([]byte, 1000)} {
					forged := *good
					forged.Signature = signature
					v, err := verifier.Verify(&forged, midValidity(good))
					check(t, &forged, v, err, refusal.CertificateUntrusted)
				}
			}
		})
	}
}

// TestLengthIsCheckedFirst checks that a signature of an impossible length is refused
// before the key is used. crypto/rsa allocates much more memory for the key before it
// checks the length.
func TestLengthIsCheckedFirst(t *testing.T) {
	o := newOpenSSL(t)
	public, certificate := o.newCA("ca", "rsa:3072")
	o.key("mail", "ec:P-256")
	good := o.client(clientOptions{ca: "ca", key: "mail"})
	forged := *good
	for name, test := range map[string]struct {
		anchor        []byte
		intermediates []*x509.Certificate
	}{
		"bare key":       {public, nil},
		"CA certificate": {certificate, nil},
		"chain":          {certificate, []*x509.Certificate{&forged}},
	} {
		verifier := trust.NewVerifier(keyring(t, test.anchor), nil, trust.Limits{})
		cost := func(signature []byte) float64 {
			forged.Signature = signature
			return testing.AllocsPerRun(5, func() { _, _ = verifier.Verify(&forged, midValidity(good), test.intermediates...) })
		}
		plausible := bytes.Clone(good.Signature)
		plausible[len(plausible)-1] ^= 1
		if short, whole := cost(good.Signature[1:]), cost(plausible); 2*short > whole {
			t.Errorf("%s: %v allocations for a signature that is too short, %v for one of the right length: want less than half", name, short, whole)
		}
	}
}
