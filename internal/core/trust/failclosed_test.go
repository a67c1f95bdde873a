package trust_test

import (
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestFailsClosed checks that every missing or zero argument results in a refusal.
func TestFailsClosed(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	ring := keyring(t, public)
	good := trust.NewVerifier(ring, nil, trust.Limits{})
	unsigned := &x509.Certificate{
		SerialNumber: big.NewInt(1), SignatureAlgorithm: x509.ECDSAWithSHA256,
		NotAfter: cert.NotAfter, PublicKey: cert.PublicKey,
	}
	tests := []struct {
		name     string
		verifier *trust.Verifier
		cert     *x509.Certificate
		want     refusal.Reason
	}{
		{"everything set", good, cert, ""},
		{"nil verifier", nil, cert, refusal.CertificateUntrusted},
		{"zero verifier", &trust.Verifier{}, cert, refusal.CertificateUntrusted},
		{"nil keyring", trust.NewVerifier(nil, nil, trust.Limits{}), cert, refusal.CertificateUntrusted},
		{"zero keyring", trust.NewVerifier(&trust.Keyring{}, nil, trust.Limits{}), cert, refusal.CertificateUntrusted},
		{"nil certificate", good, nil, refusal.CertificateUntrusted},
		{"zero certificate", good, &x509.Certificate{}, refusal.CertificateUntrusted},
		{"unsigned certificate", good, unsigned, refusal.CertificateUntrusted},
		{"nil verifier and certificate", nil, nil, refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := tt.verifier.Verify(tt.cert, midValidity(cert))
			check(t, tt.cert, v, err, tt.want)
		})
	}
}

func TestZeroVerified(t *testing.T) {
	var v trust.Verified
	if v.Valid() || v.Certificate() != nil || v.Serial() != "" || v.Fingerprint() != "" || v.KeyID() != (trust.KeyID{}) ||
		v.ShortKeyID() != "" || v.OwnKeyID() != (trust.KeyID{}) || v.SharedKey() || v.NotAfter() != "" ||
		v.PublicKey() != nil || v.Size() != 0 || v.WithoutCertificate() != v {
		t.Errorf("want empty results from the zero value, found %+v", v)
	}
}

func TestEmptyKeyrings(t *testing.T) {
	for _, ring := range []*trust.Keyring{nil, {}} {
		if anchors := ring.Anchors(); len(anchors) != 0 {
			t.Errorf("want no anchors, found %d", len(anchors))
		}
	}
}

// TestAnchorsAreACopy checks that a caller cannot change a keyring through the slice that
// Anchors returns.
func TestAnchorsAreACopy(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	ring := keyring(t, public)
	id := ring.Anchors()[0].ID()
	ring.Anchors()[0] = trust.Anchor{}
	if ring.Anchors()[0].ID() != id {
		t.Error("a caller changed the keyring")
	}
}
