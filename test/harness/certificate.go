package harness

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// EncodePEM returns a certificate in PEM.
func EncodePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// VectorFolder holds header values that real proxies sent, one in each file.
const VectorFolder = "../../internal/core/certheader/testdata"

// VectorCertificates returns the certificate in every vector, and its issuer.
func VectorCertificates(t *testing.T) (mail, issuer Certificate) {
	t.Helper()
	of := func(name string) Certificate { return NewCertificate(t, EncodePEM(ReadFile(t, VectorFolder, name))) }
	return of("golden.der"), of("intermediate.der")
}

// Certificate is the certificate of a client.
type Certificate struct {
	PEM    []byte
	Parsed *x509.Certificate
}

// NewCertificate parses a PEM certificate and registers it as a secret.
func NewCertificate(t *testing.T, text []byte) Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("want a PEM certificate")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	KeepPEM(text)
	return Certificate{text, parsed}
}

// HeaderValue returns the certificate as the value of a header.
func (c Certificate) HeaderValue(form certheader.Form) string {
	return certheader.Encode(form, c.Parsed.Raw)
}

// Serial returns the serial number as the gateway writes it: hex, with an even number of
// digits.
func (c Certificate) Serial() string { return fmt.Sprintf("%x", c.Parsed.SerialNumber.Bytes()) }

// Fingerprint returns the fingerprint that the gateway sends to the upstream.
func (c Certificate) Fingerprint() string {
	return fmt.Sprintf("%x", sha256.Sum256(c.Parsed.RawTBSCertificate))
}

// SPKI returns the digest of the public key in the form of a deny list.
func (c Certificate) SPKI() string {
	sum := sha256.Sum256(c.Parsed.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// KeyID returns the ID of a public key as the gateway logs it.
func KeyID(t *testing.T, publicKey string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(publicKey))
	if block == nil || !strings.HasSuffix(block.Type, "PUBLIC KEY") {
		t.Fatal("want a PEM public key")
	}
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))[:16]
}
