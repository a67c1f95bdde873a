package identity

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// value is one value of a source in a certificate. A value with a fault is not a name, but
// it counts: a certificate with a valid and a faulty value has two.
type value struct {
	text  string
	fault error
}

// RFC 5280, sections 4.1.2.6 and 4.2.1.6.
var (
	oidOrganizationalUnit = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidCommonName         = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSubjectAltName     = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// Tag numbers of GeneralName (RFC 5280, section 4.2.1.6).
const (
	tagRFC822 = 1
	tagDNS    = 2
	tagURI    = 6
)

// values returns every value of the source in the certificate.
func (s Source) values(cert *x509.Certificate) ([]value, error) {
	switch s {
	case OU:
		return subjectValues(cert, oidOrganizationalUnit)
	case CN:
		return subjectValues(cert, oidCommonName)
	case URI:
		return alternativeNames(cert, tagURI)
	case Email:
		return alternativeNames(cert, tagRFC822)
	case DNS:
		values, err := alternativeNames(cert, tagDNS)
		for i := range values {
			values[i].text = lower(values[i].text)
		}
		return values, err
	default:
		return nil, fmt.Errorf("want a known source of client names, found %.40q", string(s))
	}
}

// lower returns the text with ASCII letters in lower case. strings.ToLower also maps
// characters outside ASCII to ASCII letters, such as the Kelvin sign to k.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// subject is a certificate's subject with its values not decoded. pkix.Name omits values
// that are not strings from its fields, so it could hide a second OU.
type subject []relativeNameSET

// relativeNameSET is one relative distinguished name. encoding/asn1 decodes a type whose
// name ends in SET as an ASN.1 SET.
type relativeNameSET []attribute

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// subjectValues returns every attribute of the subject with this type, of any ASN.1 type
// and also from sets with several attributes.
func subjectValues(cert *x509.Certificate, kind asn1.ObjectIdentifier) ([]value, error) {
	var s subject
	rest, err := asn1.Unmarshal(cert.RawSubject, &s)
	if err != nil {
		return nil, fmt.Errorf("want a readable subject, found %w", err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("want a readable subject, found %d bytes after its end", len(rest))
	}
	var values []value
	for _, set := range s {
		for _, a := range set {
			if a.Type.Equal(kind) {
				values = append(values, value{fault: attributeFault(a.Value)})
			}
		}
	}
	return values, decodeTexts(values, cert, kind)
}

// decodeTexts sets the texts of the values as crypto/x509 has decoded them. It lists
// every attribute of a subject in order.
func decodeTexts(values []value, cert *x509.Certificate, kind asn1.ObjectIdentifier) error {
	i := 0
	for _, a := range cert.Subject.Names {
		if !a.Type.Equal(kind) {
			continue
		}
		if i == len(values) {
			return errors.New("want a readable subject, found more attributes in its decoded form")
		}
		if text, ok := a.Value.(string); ok {
			values[i].text = text
		} else if values[i].fault == nil {
			values[i].fault = errors.New("want a string, found another type")
		}
		i++
	}
	if i != len(values) {
		return errors.New("want a readable subject, found fewer attributes in its decoded form")
	}
	return nil
}

// attributeFault returns an error for a value that crypto/x509 may decode to the text of
// another value: one that is not a string, and a BMPString whose last character is NUL.
// crypto/x509 removes that character.
func attributeFault(v asn1.RawValue) error {
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagNumericString:
	case asn1.TagBMPString:
		if n := len(v.Bytes); n >= 2 && v.Bytes[n-2] == 0 && v.Bytes[n-1] == 0 {
			return errors.New("want no NUL at the end, found one")
		}
	default:
		return fmt.Errorf("want a string, found ASN.1 tag %d", v.Tag)
	}
	return nil
}

// alternativeNames returns every subject alternative name of one kind, byte for byte. It
// does not use the fields of x509.Certificate, because they contain parsed URIs and omit
// names in the constructed encoding.
func alternativeNames(cert *x509.Certificate, tag int) ([]value, error) {
	var values []value
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return nil, errors.New("want subject alternative names in DER, found another encoding")
		}
		for _, n := range names {
			switch {
			case n.Class != asn1.ClassContextSpecific:
				return nil, errors.New("want subject alternative names of known kinds, found another ASN.1 class")
			case n.Tag != tag:
			case n.IsCompound:
				values = append(values, value{fault: errors.New("want a string, found a constructed value")})
			default:
				values = append(values, value{text: string(n.Bytes)})
			}
		}
	}
	return values, nil
}
