package remember_test

import (
	"testing"
	"time"

	"github.com/certgate/certgate/internal/authority"
	"github.com/certgate/certgate/internal/gate"
	"github.com/certgate/certgate/internal/remember"
)

// BenchmarkIdentify is hot: it runs once for every request, and is most of what a
// request costs unless the certificate is remembered.
func BenchmarkIdentify(b *testing.B) {
	for _, algorithm := range []authority.Algorithm{authority.Ed25519, authority.P256, authority.RSA2048, authority.RSA4096} {
		o := newOffice(b, algorithm, 24*time.Hour)
		verification := gate.Verification{Verifier: verifier(b, o), MaxCredentialBytes: limit}
		credential := claim(encode(o.issue("mail")))
		for _, bb := range []struct {
			name string
			id   gate.Identifier
		}{{"verified", verification}, {"remembered", remember.New(verification)}} {
			b.Run(string(algorithm)+"/"+bb.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if found := bb.id.Identify(credential, start); found.Err != nil {
						b.Fatal(found.Err)
					}
				}
			})
		}
	}
}
