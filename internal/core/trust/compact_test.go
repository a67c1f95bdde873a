package trust_test

import (
	"crypto"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestWithoutCertificate checks that only the parsed certificate is omitted.
func TestWithoutCertificate(t *testing.T) {
	f := ca.New(t)
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.PublicKey{"P-256": ca.Key(t).Public(), "Ed25519": public, "shared": f.Key.Public()} {
		t.Run(name, func(t *testing.T) {
			cert := f.Client(t, key)
			v, err := trust.NewVerifier(keyring(t, f.PublicKeyPEM()), nil, trust.Limits{}).Verify(cert, ca.Now())
			if err != nil {
				t.Fatal(err)
			}
			got := v.WithoutCertificate()
			if !got.Valid() || got.Certificate() != nil || v.Certificate() != cert {
				t.Errorf("valid %t, certificate %p and before %p: want valid, none and %p", got.Valid(), got.Certificate(), v.Certificate(), cert)
			}
			if got.KeyID() != v.KeyID() || got.IssuerKeyIDs()[0] != v.KeyID() || got.ShortKeyID() != v.ShortKeyID() || got.OwnKeyID() != v.OwnKeyID() ||
				got.Serial() != v.Serial() || got.Fingerprint() != v.Fingerprint() || got.Thumbprint() != v.Thumbprint() ||
				got.SharedKey() != v.SharedKey() || got.NotAfter() != v.NotAfter() || got.Size() != v.Size() {
				t.Errorf("found %+v, want the same as before", got)
			}
			if keyID, serial, notAfter, sharedKey := got.Summary(); keyID != v.ShortKeyID() || serial != v.Serial() || notAfter != v.NotAfter() || sharedKey != v.SharedKey() {
				t.Errorf("summary %q, %q, %q, %t, want the same as before", keyID, serial, notAfter, sharedKey)
			}
			for _, at := range []time.Time{cert.NotBefore, cert.NotAfter, cert.NotBefore.Add(-1), cert.NotAfter.Add(1)} {
				if got.ValidAt(at) != v.ValidAt(at) {
					t.Errorf("valid at %s %t, want the same as before", at, got.ValidAt(at))
				}
			}
			if own, ok := got.PublicKey().(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(key) {
				t.Errorf("key %v, want %v", got.PublicKey(), key)
			}
			if got.WithoutCertificate() != got {
				t.Error("want the same value without a certificate, found another")
			}
		})
	}
}
