package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// BenchmarkVerify measures the most expensive step of a request whose certificate is not
// cached: one public-key operation for every anchor that is tried. Any sender can cause
// this work, so the refused case matters as much as the accepted one.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"rsa:2048", "rsa:4096", "ec:P-256", "ec:P-384", "ed25519"} {
		o := newOpenSSL(b)
		public, _ := o.newCA("ca", kind)
		o.newCA("otherCA", kind)
		o.key("mail", "ec:P-256")
		verifier := trust.NewVerifier(keyring(b, public), nil, trust.Limits{})
		for name, ca := range map[string]string{"accepted": "ca", "refused": "otherCA"} {
			cert := o.client(clientOptions{ca: ca, key: "mail"})
			now := midValidity(cert)
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := verifier.Verify(cert, now); (err == nil) != (name == "accepted") {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkForgedChain measures the most expensive chain that an unknown sender can send:
// see [forgedChain]. It costs at most one signature check for each certificate and anchor,
// with the anchors' keys only.
func BenchmarkForgedChain(b *testing.B) {
	leaf, intermediates, ring := forgedChain(b)
	verifier, now := trust.NewVerifier(ring, nil, trust.Limits{}), midValidity(leaf)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier.Verify(leaf, now, intermediates...); err == nil {
			b.Fatal("accepted")
		}
	}
}

// forgedChain returns a keyring of eight CA certificates with one name, and four forged
// certificates with the same name and one slow key, each of which could have signed every
// other. One has no alternative names, so that x509.Verify does not recognize it when it
// is visited again.
func forgedChain(tb testing.TB) (leaf *x509.Certificate, intermediates []*x509.Certificate, ring *trust.Keyring) {
	tb.Helper()
	var anchors [][]byte
	for range trust.MaxAnchors {
		anchors = append(anchors, ca.New(tb).CertificatePEM())
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, intermediates = forgedCertificates(tb, key)
	return leaf, intermediates, keyring(tb, anchors...)
}

// forgedCertificates returns a client's certificate and three intermediates, all signed
// with key. Their issuer has the name of the CA that [ca.New] returns.
func forgedCertificates(tb testing.TB, key crypto.Signer) (leaf *x509.Certificate, intermediates []*x509.Certificate) {
	tb.Helper()
	f := ca.CA{Key: key, Certificate: &x509.Certificate{Subject: ca.Template("Example CA").Subject}}
	for _, names := range [][]string{{"a"}, nil, {"b"}} {
		template := ca.Template("Example CA")
		template.DNSNames = names
		intermediates = append(intermediates, ca.Sign(tb, template, f.Certificate, key.Public(), f.Key))
	}
	return f.Client(tb, key.Public()), intermediates
}
