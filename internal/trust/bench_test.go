package trust_test

import (
	"testing"

	"github.com/certgate/certgate/internal/trust"
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
