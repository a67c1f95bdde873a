// Package certheader parses the certificates in the value of a header.
//
// Proxies and clients encode a certificate in a header in many forms. The package
// recognizes the form from the first bytes of the value, never from the name of the
// header, and tries one decoder only. A sender therefore cannot build a value that two
// parties decode differently. Anything other than a certificate, or a chain that begins
// with the client's certificate, is refused: text before or after it, PEM headers, PEM
// blocks of another type, non-canonical base64, and DER with additional elements.
//
// The parsed certificates are not trusted yet: package trust verifies them.
package certheader

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/x509diag"
)

// MaxCertificates is the maximum length of a chain: the client's certificate and three
// intermediates.
const MaxCertificates = 4

// Chain holds the certificates of a header. The zero value has none.
type Chain struct {
	// Leaf is the first certificate, which is the client's.
	Leaf *x509.Certificate
	// Intermediates are the other certificates in the order of the header. They are
	// used only to find a path to an anchor.
	Intermediates []*x509.Certificate
}

// Parse returns the chain in the values of one header. It refuses
//
//   - no value or one empty value with [refusal.CredentialMissing],
//   - several values with [refusal.CredentialDuplicated], because another program may use
//     a different one of them,
//   - a value longer than maxBytes, which is not decoded, and certificates with more than
//     650 ASN.1 elements with [refusal.CredentialTooLarge],
//   - a value that contains a private key with [refusal.CredentialPrivateKey],
//   - every other value that is not 1 to [MaxCertificates] complete certificates with
//     [refusal.CredentialMalformed]. This includes certificates that crypto/x509 cannot
//     read, keys that it does not support, and control bytes except tabs, which RFC 9110,
//     section 5.5 forbids in header values.
//
// The detail of a refusal describes the fault, and its hint describes what to attach.
// Neither quotes the value.
func Parse(values []string, maxBytes int) (Chain, error) {
	chain, err := read(values, maxBytes)
	refused := refusal.Of(err)
	if refused != nil && refused.Reason == refusal.CredentialMalformed && refused.Hint == "" {
		return Chain{}, withHint(refused, values[0])
	}
	return chain, err
}

func read(values []string, maxBytes int) (Chain, error) {
	switch {
	case len(values) == 0:
		return Chain{}, refusal.New(refusal.CredentialMissing, "no header")
	case len(values) > 1:
		return Chain{}, refusal.New(refusal.CredentialDuplicated, "want one header line, found %d", len(values))
	case values[0] == "":
		return Chain{}, refusal.New(refusal.CredentialMissing, "the header is empty")
	case len(values[0]) > maxBytes:
		return Chain{}, refusal.New(refusal.CredentialTooLarge, "want at most %d bytes, found %d", maxBytes, len(values[0]))
	}
	if hasControl(values[0]) {
		return Chain{}, malformed("want a header value (RFC 9110), found a control byte")
	}
	decode := decoderFor(values[0])
	if decode == nil {
		return Chain{}, malformed("want a certificate as PEM, base64, :base64: or XFCC, found another form")
	}
	ders, err := decode(values[0])
	if err != nil {
		return Chain{}, err
	}
	return parseChain(ders)
}

// hasControl reports whether the value contains a control byte other than a tab. It looks
// at eight bytes at a time, because the value may be long and its sender is not known yet.
func hasControl(value string) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	for ; len(value) >= 8; value = value[8:] {
		word := uint64(value[0]) | uint64(value[1])<<8 | uint64(value[2])<<16 | uint64(value[3])<<24 |
			uint64(value[4])<<32 | uint64(value[5])<<40 | uint64(value[6])<<48 | uint64(value[7])<<56
		deletes := word ^ 0x7f*ones
		// The high bit of a byte is set if the byte is below 0x20 or equal to 0x7f.
		found := ((word-' '*ones)&^word | (deletes-ones)&^deletes) & high
		if found != 0 && isControlIn(value[:8]) {
			return true
		}
	}
	return isControlIn(value)
}

// isControlIn is hasControl, byte by byte.
func isControlIn(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// parseChain parses every certificate before it returns the chain. If the first one is
// damaged, the second one must not become the client's.
func parseChain(ders [][]byte) (Chain, error) {
	if len(ders) == 0 || len(ders) > MaxCertificates {
		return Chain{}, refusal.New(refusal.CredentialMalformed, "want 1 to %d certificates, found %d", MaxCertificates, len(ders))
	}
	if countElements(ders) > maxElements {
		return Chain{}, refusal.New(refusal.CredentialTooLarge, "want at most %d ASN.1 elements in all certificates together, found more", maxElements)
	}
	var chain Chain
	for i, der := range ders {
		cert, err := parseDER(der)
		switch {
		case err != nil:
			return Chain{}, err
		case i == 0:
			if fault, ok := x509diag.UnsupportedKey(cert); ok {
				return Chain{}, unsupported(fault)
			}
			chain.Leaf = cert
		default:
			chain.Intermediates = append(chain.Intermediates, cert)
		}
	}
	return chain, nil
}

// parseDER parses one certificate. Unlike x509.ParseCertificate, it refuses additional
// elements in the outer SEQUENCE and unused bits in the signature, because neither is
// covered by the signature.
func parseDER(der []byte) (*x509.Certificate, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	switch {
	case err != nil:
		return nil, malformed("want a certificate in DER, found another encoding")
	case len(rest) > 0:
		return nil, malformed("want one certificate in DER, found bytes after it")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		// The error of crypto/x509 may quote the certificate, so it is not returned.
		if fault, ok := x509diag.Unreadable(der); ok {
			return nil, unsupported(fault)
		}
		return nil, malformed("want an X.509 certificate in DER, found something else")
	}
	if !hasExactElements(outer.Bytes) {
		return nil, refusal.New(refusal.CredentialMalformed, "want exactly tbsCertificate, signatureAlgorithm and a signature of whole bytes, found more").
			WithHint("The certificate contains bytes that its issuer did not sign: attach it as it was issued")
	}
	return cert, nil
}

// unsupported returns the refusal of a complete certificate that crypto/x509 does not
// support. Its encoding in the header is correct, so the hint is about the certificate.
func unsupported(fault x509diag.Fault) error {
	return refusal.New(refusal.CredentialMalformed, "want a certificate that Go's crypto/x509 supports, found another").
		WithHint("The certificate has " + fault.Description + ", which is not supported: " + fault.Hint)
}

// hasExactElements reports whether the content of a certificate's SEQUENCE is the three
// elements of RFC 5280, section 4.1, the last of them a BIT STRING without unused bits.
// Together with the unique DER encoding of lengths, no byte outside the signed part and
// the value of the signature can be changed.
func hasExactElements(content []byte) bool {
	var element asn1.RawValue
	for range 3 {
		rest, err := asn1.Unmarshal(content, &element)
		if err != nil {
			return false
		}
		content = rest
	}
	return len(content) == 0 && len(element.Bytes) > 0 && element.Bytes[0] == 0
}

// strictBase64 decodes canonical base64 only: the standard alphabet with padding, unused
// bits zero, and no newlines, which encoding/base64 ignores.
func strictBase64(s string) ([]byte, error) {
	if s == "" {
		return nil, malformed("want base64, found nothing")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	switch {
	case err == nil && base64.StdEncoding.EncodedLen(len(raw)) == len(s):
		return raw, nil
	case strings.ContainsAny(s, " \t\r\n"):
		return nil, malformed("want base64 in one piece, found white space inside")
	default:
		return nil, malformed("want canonical padded base64, found something else")
	}
}

// malformed returns a refusal of a value that is not a certificate.
func malformed(detail string) error {
	return refusal.New(refusal.CredentialMalformed, "%s", detail)
}
