// Package ca issues keys, CA certificates and client certificates for tests.
//
// All certificates contain the time [Now], which never changes, so fixtures do not
// expire. Every function that issues a certificate takes functions that change the template
// before it is signed. A test of code that reads the machine's clock uses [Current].
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// TB is the part of [testing.TB] that the package uses. rapid.TB has it too.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Change alters the template of a certificate before the certificate is signed.
type Change func(template *x509.Certificate)

// Current makes a certificate valid by the machine's clock, from an hour ago to a day from now.
func Current(template *x509.Certificate) {
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(0, 0, 1)
}

// Named sets the subject of a certificate to that of the client with this name.
func Named(client string) Change {
	return func(template *x509.Certificate) {
		template.Subject.OrganizationalUnit, template.Subject.CommonName = []string{client}, client
	}
}

// CA is a key and its CA certificate.
type CA struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// Now returns the time that all certificates contain.
func Now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// New returns a CA with a new P-256 key and a certificate signed by that key. The
// certificate is valid from one day before [Now] to one year after it.
func New(tb TB, changes ...Change) CA {
	tb.Helper()
	return NewWithKey(tb, Key(tb), changes...)
}

// NewWithKey returns a CA like [New] does, with the given key.
func NewWithKey(tb TB, key crypto.Signer, changes ...Change) CA {
	tb.Helper()
	template := changed(Template("Example CA"), changes)
	return CA{Key: key, Certificate: Sign(tb, template, template, key.Public(), key)}
}

// Intermediate returns a CA whose certificate c signed. Its common name is name.
func (c CA) Intermediate(tb TB, name string, changes ...Change) CA {
	tb.Helper()
	key := Key(tb)
	return CA{Key: key, Certificate: Sign(tb, changed(Template(name), changes), c.Certificate, key.Public(), c.Key)}
}

// Client returns a certificate for the client called mail, signed by c. It is valid
// from one hour before [Now] to one day after it.
func (c CA) Client(tb TB, public crypto.PublicKey, changes ...Change) *x509.Certificate {
	tb.Helper()
	return Sign(tb, changed(ClientTemplate(), changes), c.Certificate, public, c.Key)
}

// PublicKeyPEM returns the CA's key as a PEM block PUBLIC KEY.
func (c CA) PublicKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.Certificate.RawSubjectPublicKeyInfo})
}

// CertificatePEM returns the CA's certificate as a PEM block CERTIFICATE.
func (c CA) CertificatePEM() []byte { return PEM(c.Certificate) }

// PEM returns the certificate as a PEM block CERTIFICATE.
func PEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Key returns a new P-256 key.
func Key(tb TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// KeyPEM returns a private key as a PEM block PRIVATE KEY.
func KeyPEM(tb TB, key crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Sign returns the certificate of template over public, issued by parent and signed
// with key. It does not check that key belongs to parent.
func Sign(tb TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// Template returns the template of the certificate of a CA with this common name.
func Template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Organization: []string{"Example"}, CommonName: name},
		NotBefore:    Now().AddDate(0, 0, -1), NotAfter: Now().AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// ClientTemplate returns the template of the certificate of the client called mail.
func ClientTemplate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(0x4f3a09),
		Subject:      pkix.Name{Organization: []string{"Example"}, OrganizationalUnit: []string{"mail"}, CommonName: "mail"},
		NotBefore:    Now().Add(-time.Hour), NotAfter: Now().AddDate(0, 0, 1),
	}
}

func changed(template *x509.Certificate, changes []Change) *x509.Certificate {
	for _, change := range changes {
		change(template)
	}
	return template
}
