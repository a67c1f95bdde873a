package trust_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestRefusedCertificate checks that a refusal contains the certificate if and only if
// its signature was verified.
func TestRefusedCertificate(t *testing.T) {
	f, otherCA := ca.New(t), ca.New(t)
	key := ca.Key(t).Public()
	revocations, err := trust.NewRevocations([]trust.Revocation{{Serial: "66"}})
	if err != nil {
		t.Fatal(err)
	}
	between := ca.Template("between")
	between.SerialNumber.SetInt64(0x66)
	intermediate := ca.Sign(t, between, f.Certificate, f.Key.Public(), f.Key)
	below := ca.Sign(t, ca.ClientTemplate(), intermediate, key, f.Key)
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
		{name: "expired", cert: f.Client(t, key), after: 48 * time.Hour, want: refusal.CertificateExpired, signed: true},
		{name: "not yet valid", cert: f.Client(t, key), after: -2 * time.Hour, want: refusal.CertificateNotYetValid, signed: true},
		{name: "revoked", cert: f.Client(t, key, serial), want: refusal.CertificateRevoked, signed: true},
		{name: "intermediate revoked", cert: below, more: []*x509.Certificate{intermediate}, want: refusal.CertificateRevoked, signed: true},
		{name: "lifetime", cert: f.Client(t, key), limits: trust.Limits{MaxLifetime: time.Minute}, want: refusal.CertificateLifetime, signed: true},
		{name: "shared key", cert: f.Client(t, f.Key.Public()), limits: trust.Limits{RefuseSharedKey: true}, want: refusal.LegacySharedKey, signed: true},
		{name: "a CA", cert: f.Client(t, key, isCA), want: refusal.CertificateUnsuitable, signed: true},
		{name: "verified", cert: f.Client(t, key)},
		{name: "expired, signed by another CA", cert: otherCA.Client(t, key), after: 48 * time.Hour, want: refusal.CertificateUntrusted},
		{name: "revoked, signed by another CA", cert: otherCA.Client(t, key, serial), want: refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, anchor := range [][]byte{f.CertificatePEM(), f.PublicKeyPEM()} {
				if tt.more != nil {
					anchor = f.CertificatePEM()
				}
				v, err := trust.NewVerifier(keyring(t, anchor), revocations, tt.limits).Verify(tt.cert, ca.Now().Add(tt.after), tt.more...)
				check(t, tt.cert, v, err, tt.want)
				if tt.want == "" && v.NotAfter() != tt.cert.NotAfter.UTC().Format(time.RFC3339) {
					t.Errorf("verified until %s, want %s", v.NotAfter(), tt.cert.NotAfter)
				}
				checkRefused(t, trust.RefusedCertificate(err), tt.cert, tt.signed, keyring(t, anchor))
			}
		})
	}
}

// checkRefused compares the details in a refusal with the refused certificate.
func checkRefused(t *testing.T, got trust.Signed, cert *x509.Certificate, want bool, ring *trust.Keyring) {
	t.Helper()
	if got.Valid() != want {
		t.Fatalf("refused certificate known: %t, want %t", got.Valid(), want)
	}
	if !want {
		cert = nil
	}
	var keyID, serial, notAfter string
	if cert != nil {
		keyID, serial, notAfter = ring.Anchors()[0].ID().Short(), "4f3a09", cert.NotAfter.UTC().Format(time.RFC3339)
		if cert.SerialNumber.Int64() == 0x66 {
			serial = "66"
		}
	}
	if key, number, end, shared := got.Summary(); key != keyID || number != serial || end != notAfter || shared != got.SharedKey() {
		t.Errorf("summary %q, %q, %q, %t, want %q, %q, %q", key, number, end, shared, keyID, serial, notAfter)
	}
	if got.Certificate() != cert || got.ShortKeyID() != keyID || got.Serial() != serial || got.NotAfter() != notAfter {
		t.Errorf("found key %q, serial %q, end %s, want %q, %q, %s", got.ShortKeyID(), got.Serial(), got.NotAfter(), keyID, serial, notAfter)
	}
}

// TestRefusedSharedKey checks that SharedKey is true for a refused certificate over a
// master key.
func TestRefusedSharedKey(t *testing.T) {
	f := ca.New(t)
	for _, tt := range []struct {
		name string
		cert *x509.Certificate
		want bool
	}{
		{"own key", f.Client(t, ca.Key(t).Public()), false},
		{"master key", f.Client(t, f.Key.Public()), true},
	} {
		_, err := trust.NewVerifier(keyring(t, f.PublicKeyPEM()), nil, trust.Limits{}).Verify(tt.cert, ca.Now().Add(48*time.Hour))
		if got := trust.RefusedCertificate(err).SharedKey(); got != tt.want {
			t.Errorf("%s: shared key %t, want %t", tt.name, got, tt.want)
		}
	}
	if trust.RefusedCertificate(errors.New("a fault")).Valid() || trust.RefusedCertificate(nil).Valid() {
		t.Error("want no certificate from an error that is not a refusal")
	}
}
