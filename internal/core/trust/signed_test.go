package trust_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestRefusedCertificate checks that a refusal carries the certificate exactly
// when its signature was verified.
func TestRefusedCertificate(t *testing.T) {
	f, stranger := newForge(t), newForge(t)
	key := newKey(t).Public()
	revocations, err := trust.NewRevocations([]trust.Revocation{{Serial: "66"}})
	if err != nil {
		t.Fatal(err)
	}
	between := caTemplate("between")
	between.SerialNumber.SetInt64(0x66)
	intermediate := f.sign(between, f.ca, f.key.Public())
	below := f.sign(clientTemplate(), intermediate, key)
	isCA := func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }
	serial := func(c *x509.Certificate) { c.SerialNumber.SetInt64(0x66) }
	tests := []struct {
		name   string
		cert   *x509.Certificate
		more   []*x509.Certificate
		limits trust.Limits
		after  time.Duration
		want   refusal.Reason
		signed bool
	}{
		{name: "expired", cert: f.client(key), after: 2 * time.Hour, want: refusal.CertificateExpired, signed: true},
		{name: "not yet valid", cert: f.client(key), after: -2 * time.Hour, want: refusal.CertificateNotYetValid, signed: true},
		{name: "revoked", cert: f.client(key, serial), want: refusal.CertificateRevoked, signed: true},
		{name: "intermediate revoked", cert: below, more: []*x509.Certificate{intermediate}, want: refusal.CertificateRevoked, signed: true},
		{name: "lifetime", cert: f.client(key), limits: trust.Limits{MaxLifetime: time.Minute}, want: refusal.CertificateLifetime, signed: true},
		{name: "shared key", cert: f.client(f.key.Public()), limits: trust.Limits{RefuseSharedKey: true}, want: refusal.LegacySharedKey, signed: true},
		{name: "a CA", cert: f.client(key, isCA), want: refusal.CertificateUnsuitable, signed: true},
		{name: "verified", cert: f.client(key)},
		{name: "expired, signed by a stranger", cert: stranger.client(key), after: 2 * time.Hour, want: refusal.CertificateUntrusted},
		{name: "revoked, signed by a stranger", cert: stranger.client(key, serial), want: refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, anchor := range [][]byte{f.anchor(), f.bare()} {
				if tt.more != nil {
					anchor = f.anchor()
				}
				v, err := trust.NewVerifier(keyring(t, anchor), revocations, tt.limits).Verify(tt.cert, noon().Add(tt.after), tt.more...)
				check(t, tt.cert, v, err, tt.want)
				if tt.want == "" && !v.NotAfter().Equal(tt.cert.NotAfter) {
					t.Errorf("verified until %s, want %s", v.NotAfter(), tt.cert.NotAfter)
				}
				checkRefused(t, trust.RefusedCertificate(err), tt.cert, tt.signed, keyring(t, anchor))
			}
		})
	}
}

// checkRefused compares what a refusal says with the certificate that it refused.
func checkRefused(t *testing.T, got trust.Signed, cert *x509.Certificate, want bool, ring *trust.Keyring) {
	t.Helper()
	if got.Valid() != want {
		t.Fatalf("refused certificate known: %t, want %t", got.Valid(), want)
	}
	if !want {
		cert = nil
	}
	var keyID, serial string
	var notAfter time.Time
	if cert != nil {
		keyID, serial, notAfter = ring.Anchors()[0].ID().Short(), "4f3a09", cert.NotAfter
		if cert.SerialNumber.Int64() == 0x66 {
			serial = "66"
		}
	}
	if got.Certificate() != cert || got.ShortKeyID() != keyID || got.Serial() != serial || !got.NotAfter().Equal(notAfter) {
		t.Errorf("found key %q, serial %q, end %s, want %q, %q, %s", got.ShortKeyID(), got.Serial(), got.NotAfter(), keyID, serial, notAfter)
	}
}

// TestRefusedSharedKey checks that a refused certificate over a master key says so.
func TestRefusedSharedKey(t *testing.T) {
	f := newForge(t)
	for _, tt := range []struct {
		name string
		cert *x509.Certificate
		want bool
	}{
		{"own key", f.client(newKey(t).Public()), false},
		{"master key", f.client(f.key.Public()), true},
	} {
		_, err := trust.NewVerifier(keyring(t, f.bare()), nil, trust.Limits{}).Verify(tt.cert, noon().Add(2*time.Hour))
		if got := trust.RefusedCertificate(err).SharedKey(); got != tt.want {
			t.Errorf("%s: shared key %t, want %t", tt.name, got, tt.want)
		}
	}
	if trust.RefusedCertificate(errors.New("a fault")).Valid() || trust.RefusedCertificate(nil).Valid() {
		t.Error("a fault refuses no certificate")
	}
}
