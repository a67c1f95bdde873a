package trust_test

import (
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// rsaPublic returns an RSA public key of the given length. Its private key does not exist.
func rsaPublic(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// TestLargeRSAKeys checks that no RSA key of more than 8192 bits is used at any position
// of a path. The key of an intermediate is refused before it verifies a signature, so the
// reason is not the one of a failed signature.
func TestLargeRSAKeys(t *testing.T) {
	for bits, fits := range map[int]bool{8192: true, 8193: false, 16384: false, 90000: false} {
		key := rsaPublic(bits)
		leaf, anchor, intermediate := refusal.CertificateWeak, "want an RSA key of at most 8192 bits", refusal.CertificateWeak
		if fits {
			leaf, anchor, intermediate = "", "", refusal.CertificateUntrusted
		}
		f := ca.New(t)
		cert := f.Client(t, key)
		for _, block := range [][]byte{f.PublicKeyPEM(), f.CertificatePEM()} {
			v, err := trust.NewVerifier(keyring(t, block), nil, trust.Limits{}).Verify(cert, ca.Now())
			check(t, cert, v, err, leaf)
		}
		between := ca.Sign(t, ca.Template("between"), f.Certificate, key, f.Key)
		forged := ca.Sign(t, ca.ClientTemplate(), &x509.Certificate{Subject: between.Subject}, ca.Key(t).Public(), f.Key)
		forged.Signature, forged.SignatureAlgorithm = make([]byte, key.Size()), x509.SHA256WithRSA
		v, err := trust.NewVerifier(keyring(t, f.CertificatePEM()), nil, trust.Limits{}).Verify(forged, ca.Now(), between)
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
