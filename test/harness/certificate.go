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

// EncodePEM is a certificate's DER as PEM.
func EncodePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// VectorFolder holds what real proxies sent, one header value a file.
const VectorFolder = "../../internal/core/certheader/testdata"

// VectorCertificates is the certificate in every vector, and its issuer.
func VectorCertificates(t *testing.T) (mail, issuer Certificate) {
	t.Helper()
	of := func(name string) Certificate { return NewCertificate(t, EncodePEM(ReadFile(t, VectorFolder, name))) }
	return of("golden.der"), of("intermediate.der")
}

// Certificate is one client's certificate.
type Certificate struct {
	PEM    []byte
	Parsed *x509.Certificate
}

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

// HeaderValue is the certificate as a header value.
func (c Certificate) HeaderValue(form certheader.Form) string {
	return certheader.Encode(form, c.Parsed.Raw)
}

// Serial is what the gateway calls it: hex, an even number of digits.
func (c Certificate) Serial() string { return fmt.Sprintf("%x", c.Parsed.SerialNumber.Bytes()) }

// Fingerprint is what the upstream is told.
func (c Certificate) Fingerprint() string {
	return fmt.Sprintf("%x", sha256.Sum256(c.Parsed.RawTBSCertificate))
}

// SPKI is what a deny list names.
func (c Certificate) SPKI() string {
	sum := sha256.Sum256(c.Parsed.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// KeyID is what the gateway calls a public key in its log.
func KeyID(t *testing.T, publicKey string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(publicKey))
	if block == nil || !strings.HasSuffix(block.Type, "PUBLIC KEY") {
		t.Fatal("want a PEM public key")
	}
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))[:16]
}
