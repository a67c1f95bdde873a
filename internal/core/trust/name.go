package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

// maxNameBytes is the length in bytes of DER up to which a distinguished name is
// formatted. [pkix.Name.String] takes time and memory quadratic in the number of
// attributes, and a forged certificate may have names of any length.
const maxNameBytes = 512

// SubjectText returns the subject of a certificate in the notation of RFC 2253,
// or its length if it has more than 512 bytes of DER. The text is untrusted and
// must be formatted with %q.
func SubjectText(cert *x509.Certificate) string { return nameText(cert.RawSubject, cert.Subject) }

// IssuerText returns the issuer in the same form as [SubjectText].
func IssuerText(cert *x509.Certificate) string { return nameText(cert.RawIssuer, cert.Issuer) }

func nameText(der []byte, name pkix.Name) string {
	if len(der) > maxNameBytes {
		return fmt.Sprintf("a name of %d bytes", len(der))
	}
	return name.String()
}
