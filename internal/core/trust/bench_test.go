package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
)

// Verify is the dearest step of a request whose certificate is not remembered:
// one public-key operation for every anchor that is tried. A stranger pays for
// none of it, so the refused case counts as much as the accepted one.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"rsa:2048", "rsa:4096", "ec:P-256", "ec:P-384", "ed25519"} {
		o := newOffice(b)
		public, _ := o.authority("ca", kind)
		o.authority("stranger", kind)
		o.key("mail", "ec:P-256")
		verifier := trust.NewVerifier(keyring(b, public), nil, trust.Limits{})
		for name, ca := range map[string]string{"accepted": "ca", "refused": "stranger"} {
			cert := o.client(order{ca: ca, key: "mail"})
			now := midlife(cert)
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

// BenchmarkHostileChain is the dearest request that a stranger can send: see
// [hostile]. It costs a signature for each certificate and anchor at most, by the
// anchors' keys and none of the stranger's.
func BenchmarkHostileChain(b *testing.B) {
	leaf, intermediates, ring := hostile(b)
	verifier, now := trust.NewVerifier(ring, nil, trust.Limits{}), midlife(leaf)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier.Verify(leaf, now, intermediates...); err == nil {
			b.Fatal("accepted")
		}
	}
}

// hostile returns eight CA certificates of one name and four certificates of a
// stranger under the same name and one slow key, each of which could have signed
// each. One has no alternative names, so that x509.Verify does not see it when it
// comes by again.
func hostile(tb testing.TB) (leaf *x509.Certificate, intermediates []*x509.Certificate, ring *trust.Keyring) {
	tb.Helper()
	var anchors [][]byte
	for range trust.MaxAnchors {
		anchors = append(anchors, newForge(tb).anchor())
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, intermediates = strangers(tb, key)
	return leaf, intermediates, keyring(tb, anchors...)
}

// strangers returns a client's certificate and three intermediates, all signed with
// key under the name of the CA of [newForge].
func strangers(tb testing.TB, key *ecdsa.PrivateKey) (leaf *x509.Certificate, intermediates []*x509.Certificate) {
	tb.Helper()
	f := forge{tb: tb, key: key, ca: &x509.Certificate{Subject: caTemplate("Example CA").Subject}}
	for _, names := range [][]string{{"a"}, nil, {"b"}} {
		template := caTemplate("Example CA")
		template.DNSNames = names
		intermediates = append(intermediates, f.sign(template, f.ca, key.Public()))
	}
	return f.client(key.Public()), intermediates
}
