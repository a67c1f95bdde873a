package pki

import (
	"bytes"
	"crypto/x509"
	"testing"
)

func TestLoad(t *testing.T) {
	a := mustNew(t, goodOptions())
	key, err := a.PrivateKeyPEM()
	wantError(t, err, "")
	other, err := mustNew(t, goodOptions()).PrivateKeyPEM()
	wantError(t, err, "")
	client, err := a.Issue(Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch})
	wantError(t, err, "")
	certificate := a.CertificatePEM()
	tests := []struct {
		name             string
		key, certificate []byte
		want             string
	}{
		{"good", key, certificate, ""},
		{"another key", other, certificate, "want the key of the CA certificate, found another master key"},
		{"not a CA", key, EncodeCertificate(client), "want basicConstraints with CA:TRUE"},
		{"swapped", certificate, key, `master key: want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY, found "CERTIFICATE"`},
		{"key in place of the certificate", key, key, `CA certificate: want one PEM block CERTIFICATE, found "PRIVATE KEY"`},
		{"two certificates", key, bytes.Repeat(certificate, 2), `found "CERTIFICATE", "CERTIFICATE"`},
		{"no key", nil, certificate, "master key: want one private key, found none"},
		{"no certificate", key, nil, "CA certificate: want one PEM block CERTIFICATE, found none"},
		{"cannot sign", key, withUsage(t, a, x509.KeyUsageCRLSign), "want a keyUsage with keyCertSign"},
		{"no key usage", key, withUsage(t, a, 0), ""},
		{"weak", encode(t, weakRSA(t)), certificate, "master key: want an RSA key of 2048 to 8192 bits, found 1024"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			loaded, err := Load(test.key, test.certificate)
			wantError(t, err, test.want)
			if err == nil && !bytes.Equal(loaded.CertificatePEM(), test.certificate) {
				t.Error("want the given certificate")
			}
		})
	}
}

func TestLoadedAuthorityIssues(t *testing.T) {
	for _, algorithm := range []Algorithm{Ed25519, P256, RSA2048} {
		options := goodOptions()
		options.Algorithm = algorithm
		created := mustNew(t, options)
		key, err := created.PrivateKeyPEM()
		wantError(t, err, "")
		loaded, err := Load(key, created.CertificatePEM())
		wantError(t, err, "")
		if !bytes.Equal(loaded.PublicKeyPEM(), created.PublicKeyPEM()) {
			t.Errorf("%s: want the same public key", algorithm)
		}
		certificate, err := loaded.Issue(Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch})
		wantError(t, err, "")
		if err := certificate.CheckSignatureFrom(created.certificate); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// withUsage returns a CA certificate for the same key with another key usage.
func withUsage(t *testing.T, a *Authority, usage x509.KeyUsage) []byte {
	t.Helper()
	template, err := authorityTemplate("Example CA", validity{epoch, epoch.Add(year)})
	wantError(t, err, "")
	template.KeyUsage = usage
	certificate, err := sign(template, template, a.key.Public(), a.key)
	wantError(t, err, "")
	return EncodeCertificate(certificate)
}
