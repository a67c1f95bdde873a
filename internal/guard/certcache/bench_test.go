package certcache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/tool/pki"
)

// BenchmarkInTurn measures a cache hit of one of many clients, each with a value of two
// kilobytes. The two clients here have the same slot.
func BenchmarkInTurn(b *testing.B) {
	o := newTestCA(b, pki.P256, 24*time.Hour)
	claims := [...]gate.Claim{claim("A" + strings.Repeat("=", 2047)), claim("B" + strings.Repeat("=", 2047))}
	id := certcache.New(known{map[string]string{claims[0].Values[0]: "a", claims[1].Values[0]: "b"}, o, verifier(b, o)})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if found := id.Identify(claims[i%2], start); found.Err != nil {
			b.Fatal(found.Err)
		}
	}
}

// BenchmarkIdentify measures a cache hit, which every request of a known client needs.
func BenchmarkIdentify(b *testing.B) {
	for _, algorithm := range []pki.Algorithm{pki.Ed25519, pki.P256, pki.RSA2048, pki.RSA4096} {
		o := newTestCA(b, algorithm, 24*time.Hour)
		verification := gate.Verification{Verifier: verifier(b, o), Names: identity.OU.Reader(), MaxCredentialBytes: limit}
		credential := claim(encode(o.issue("mail")))
		for _, bb := range []struct {
			name string
			id   gate.Identifier
		}{{"verified", verification}, {"cached", certcache.New(verification)}} {
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
