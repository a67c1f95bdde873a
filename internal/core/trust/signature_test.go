package trust_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestSignatureLength: the length alone refuses, and that of every kind of key
// passes.
func TestSignatureLength(t *testing.T) {
	for _, kind := range []string{"rsa:2048", "rsa:3072", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			public, certificate := o.authority("ca", kind)
			o.key("mail", "ec:P-256")
			good := o.client(order{ca: "ca", key: "mail"})
			for _, anchor := range [][]byte{public, certificate} {
				verifier := trust.NewVerifier(keyring(t, anchor), nil, trust.Limits{})
				v, err := verifier.Verify(good, midlife(good))
				check(t, good, v, err, "")
				for _, signature := range [][]byte{nil, good.Signature[1:], append(bytes.Clone(good.Signature), 0), make([]byte, 1000)} {
					forged := *good
					forged.Signature = signature
					v, err := verifier.Verify(&forged, midlife(good))
					check(t, &forged, v, err, refusal.CertificateUntrusted)
				}
			}
		})
	}
}

// TestLengthComesFirst: a signature that cannot be the anchor's for its length
// alone is refused before the key is used. An operation with an RSA key, which
// the library prepares before it looks at the length, takes far more memory.
func TestLengthComesFirst(t *testing.T) {
	o := newOffice(t)
	public, certificate := o.authority("ca", "rsa:3072")
	o.key("mail", "ec:P-256")
	good := o.client(order{ca: "ca", key: "mail"})
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
			return testing.AllocsPerRun(5, func() { _, _ = verifier.Verify(&forged, midlife(good), test.intermediates...) })
		}
		plausible := bytes.Clone(good.Signature)
		plausible[len(plausible)-1] ^= 1
		if short, whole := cost(good.Signature[1:]), cost(plausible); 2*short > whole {
			t.Errorf("%s: %v allocations for a signature that is too short, %v for one that is not: want less than half", name, short, whole)
		}
	}
}
