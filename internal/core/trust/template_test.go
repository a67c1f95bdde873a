package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// forge signs certificates from templates with crypto/x509. It is faster than
// openssl and makes certificates that openssl refuses to make.
type forge struct {
	tb  testing.TB
	key *ecdsa.PrivateKey // signs the root and is every issuer's key
	ca  *x509.Certificate // the root
}

// newForge makes a root; change may alter its template.
func newForge(tb testing.TB, change ...func(*x509.Certificate)) forge {
	tb.Helper()
	f := forge{tb: tb, key: newKey(tb)}
	template := caTemplate("Example CA")
	for _, c := range change {
		c(template)
	}
	f.ca = f.sign(template, template, f.key.Public())
	return f
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: name},
		NotBefore: noon().Add(-time.Hour), NotAfter: noon().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func clientTemplate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(0x4f3a09),
		Subject:      pkix.Name{Organization: []string{"Example"}, OrganizationalUnit: []string{"mail"}, CommonName: "mail"},
		NotBefore:    noon().Add(-time.Hour), NotAfter: noon().Add(time.Hour),
	}
}

// sign makes the certificate of template over public, signed with f.key.
func (f forge) sign(template, issuer *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	f.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, f.key)
	if err != nil {
		f.tb.Fatal(err)
	}
	return readDER(f.tb, der)
}

// client makes a client certificate below the root; change may alter its template.
func (f forge) client(public crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	f.tb.Helper()
	template := clientTemplate()
	for _, c := range change {
		c(template)
	}
	return f.sign(template, f.ca, public)
}

// anchor returns the root as PEM; bare returns its public key.
func (f forge) anchor() []byte { return pemOf("CERTIFICATE", f.ca.Raw) }

func (f forge) bare() []byte { return pemOf("PUBLIC KEY", f.ca.RawSubjectPublicKeyInfo) }

func readDER(tb testing.TB, der []byte) *x509.Certificate {
	tb.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}
