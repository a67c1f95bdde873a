// Package certheader turns the value of a header into the certificate it
// carries.
//
// Proxies and clients write a certificate into a header in many ways. The
// package tells them apart by the shape of the value, never by the header's
// name, and each shape has exactly one reading: there is no second try with
// another decoder, so nobody can craft a value that two parties read
// differently. Everything that is not a certificate, or a chain of them that
// begins with the client's, is refused: text before or after it, PEM headers,
// another kind of block, base64 that has another spelling, DER with surplus
// elements.
//
// What comes out is nobody's word yet: package trust decides whether to believe
// it.
package certheader

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/x509diag"
)

// MaxCertificates bounds a chain: the client's certificate and three
// intermediates.
const MaxCertificates = 4

// Chain is what a header carried. The zero value carries nothing.
type Chain struct {
	// Leaf is the first certificate, the only one that can be the client's.
	Leaf *x509.Certificate
	// Intermediates are the others in the order they came. They help to find
	// an anchor and are otherwise nobody.
	Intermediates []*x509.Certificate
}

// Parse reads the chain from all values of one header.
//
// No value, or a single empty one, is [refusal.CredentialMissing]; several are
// [refusal.CredentialDuplicated], because the next reader might take another one
// than we do; a value longer than maxBytes is [refusal.CredentialTooLarge] and is
// not looked into, and so are certificates with more than 600 ASN.1 elements; what is not one to [MaxCertificates] certificates, each of
// them whole, is [refusal.CredentialMalformed], or, where a private key is seen in
// it, [refusal.CredentialPrivateKey]. A certificate that crypto/x509 cannot read, or
// whose key it does not know, is [refusal.CredentialMalformed] too. The detail says
// what was wrong, the hint what to attach, and both quote nothing of the value. A
// control byte other than a tab is refused as malformed: RFC 9110, section 5.5 lets
// no header carry one.
func Parse(values []string, maxBytes int) (Chain, error) {
	chain, err := read(values, maxBytes)
	refused := refusal.Of(err)
	if refused != nil && refused.Reason == refusal.CredentialMalformed && refused.Hint == "" {
		return Chain{}, advise(refused, values[0])
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
	decode := shape(values[0])
	if decode == nil {
		return Chain{}, malformed("want a certificate as PEM, base64, :base64: or XFCC, found another shape")
	}
	ders, err := decode(values[0])
	if err != nil {
		return Chain{}, err
	}
	return parseChain(ders)
}

// hasControl walks bytes, not runes: it runs over every value.
func hasControl(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// parseChain reads every certificate before it returns any: a damaged first one
// never promotes the next.
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

// parseDER is strict where x509.ParseCertificate is not: that takes surplus
// elements inside the outer SEQUENCE and a signature shifted by some bits, and
// nobody signed either.
func parseDER(der []byte) (*x509.Certificate, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	switch {
	case err != nil:
		return nil, malformed("want a certificate in DER, found another encoding")
	case len(rest) > 0:
		return nil, malformed("want one certificate in DER, found bytes behind it")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		// The error may quote the certificate, so it is not passed on.
		if fault, ok := x509diag.Unreadable(der); ok {
			return nil, unsupported(fault)
		}
		return nil, malformed("want an X.509 certificate in DER, found something else")
	}
	if !bareElements(outer.Bytes) {
		return nil, refusal.New(refusal.CredentialMalformed, "want exactly tbsCertificate, signatureAlgorithm and a signature of whole bytes, found more").
			WithHint("The certificate holds bytes that its issuer did not sign: attach it as it was issued")
	}
	return cert, nil
}

// unsupported refuses a certificate that arrived whole and that the gateway cannot
// use whoever signed it. How it is encoded in the header is not the fault, so the
// hint is about the certificate.
func unsupported(fault x509diag.Fault) error {
	return refusal.New(refusal.CredentialMalformed, "want a certificate that Go's crypto/x509 supports, found another").
		WithHint("The certificate has " + fault.Description + ", which is not supported: " + fault.Hint)
}

// bareElements reports whether the content of the certificate's SEQUENCE is
// just what RFC 5280, section 4.1 lists: three elements, the last a BIT STRING
// without unused bits. With that, and DER's single encoding of lengths, no byte
// outside the signed part and the signature's value is free.
func bareElements(content []byte) bool {
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

// strictBase64 takes the one canonical spelling: the standard alphabet, padded,
// no line breaks (which the library would skip), unused bits zero.
func strictBase64(s string) ([]byte, error) {
	switch {
	case s == "":
		return nil, malformed("want base64, found nothing")
	case strings.ContainsAny(s, " \t\r\n"):
		return nil, malformed("want base64 in one piece, found white space inside")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, malformed("want canonical padded base64, found something else")
	}
	return raw, nil
}

func malformed(detail string) error {
	return refusal.New(refusal.CredentialMalformed, "%s", detail)
}
