package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

// maxNameBytes is the longest distinguished name, in bytes of DER, that is written
// out. [pkix.Name.String] takes time and memory quadratic in the number of
// attributes, and the names of a forged certificate are of any length.
const maxNameBytes = 512

// SubjectText returns the subject of a certificate in the notation of RFC 2253,
// or its length when it takes more than 512 bytes of DER. The text is untrusted:
// it belongs in %q.
func SubjectText(cert *x509.Certificate) string { return nameText(cert.RawSubject, cert.Subject) }

// IssuerText returns the issuer as [SubjectText] returns the subject.
func IssuerText(cert *x509.Certificate) string { return nameText(cert.RawIssuer, cert.Issuer) }

func nameText(der []byte, name pkix.Name) string {
	if len(der) > maxNameBytes {
		return fmt.Sprintf("a name of %d bytes", len(der))
	}
	return name.String()
}
