package trust_test

import (
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// rsaPublic returns an RSA public key of so many bits, of which nobody has the
// private half.
func rsaPublic(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// TestLargeRSAKeys checks that no RSA key of more than 8192 bits is used, in any
// place of a path. The key of an intermediate would verify a signature, so it is
// refused before: with another reason than the signature's.
func TestLargeRSAKeys(t *testing.T) {
	for bits, fits := range map[int]bool{8192: true, 8193: false, 16384: false, 90000: false} {
		key := rsaPublic(bits)
		leaf, anchor, intermediate := refusal.CertificateWeak, "want an RSA key of at most 8192 bits", refusal.CertificateWeak
		if fits {
			leaf, anchor, intermediate = "", "", refusal.CertificateUntrusted
		}
		f := newForge(t)
		cert := f.client(key)
		for _, block := range [][]byte{f.bare(), f.anchor()} {
			v, err := trust.NewVerifier(keyring(t, block), nil, trust.Limits{}).Verify(cert, noon())
			check(t, cert, v, err, leaf)
		}
		between := f.sign(caTemplate("between"), f.ca, key)
		forged := f.sign(clientTemplate(), &x509.Certificate{Subject: between.Subject}, newKey(t).Public())
		forged.Signature, forged.SignatureAlgorithm = make([]byte, key.Size()), x509.SHA256WithRSA
		v, err := trust.NewVerifier(keyring(t, f.anchor()), nil, trust.Limits{}).Verify(forged, noon(), between)
		check(t, forged, v, err, intermediate)
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range [][]byte{
			pemOf("PUBLIC KEY", spki), pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key)), pemOf("CERTIFICATE", between.Raw),
		} {
			if _, err := trust.ParseKeyring(block, 0); (err == nil) != fits || err != nil && !strings.Contains(err.Error(), anchor) {
				t.Errorf("%d bits: want an error with %q, found %v", bits, anchor, err)
			}
		}
	}
}
