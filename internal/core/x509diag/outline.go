package x509diag

import (
	"bytes"
	"encoding/asn1"
	"slices"
)

// outline holds the fields of a certificate that crypto/x509 may refuse, each as the
// content of its DER element.
type outline struct {
	serial          []byte
	innerAlgorithm  []byte
	outerAlgorithm  []byte
	issuer, subject []byte
	spki            []byte
	extensions      []byte // of the SEQUENCE; nil if absent
}

// outlineOf splits a Certificate (RFC 5280, section 4.1) into its fields.
func outlineOf(der []byte) (o outline, ok bool) {
	content, rest, ok := next(der, tagSequence)
	if !ok || len(rest) > 0 {
		return outline{}, false
	}
	tbs, content, ok := next(content, tagSequence)
	if !ok {
		return outline{}, false
	}
	if o.outerAlgorithm, content, ok = next(content, tagSequence); !ok {
		return outline{}, false
	}
	if _, _, ok = next(content, asn1.TagBitString); !ok {
		return outline{}, false
	}
	return o, o.split(tbs)
}

// split reads the fields of a TBSCertificate. The result is false if a field is missing.
func (o *outline) split(tbs []byte) (ok bool) {
	if _, rest, ok := next(tbs, tagContext); ok { // version
		tbs = rest
	}
	var validity []byte
	for _, field := range []struct {
		tag     byte
		content *[]byte
	}{
		{asn1.TagInteger, &o.serial},
		{tagSequence, &o.innerAlgorithm},
		{tagSequence, &o.issuer},
		{tagSequence, &validity},
		{tagSequence, &o.subject},
		{tagSequence, &o.spki},
	} {
		if *field.content, tbs, ok = next(tbs, field.tag); !ok {
			return false
		}
	}
	for _, tag := range []byte{0x81, 0x82, 0xa1, 0xa2} { // the unique identifiers
		if _, rest, ok := next(tbs, tag); ok {
			tbs = rest
		}
	}
	if wrapper, _, ok := next(tbs, tagContext+3); ok {
		o.extensions, _, _ = next(wrapper, tagSequence)
	}
	return true
}

// Tags in DER, with class, constructed bit and number.
const (
	tagSequence = 0x30
	tagSet      = 0x31
	tagContext  = 0xa0 // constructed; add the number
)

// next reads the element at the start of der if it has the tag.
func next(der []byte, tag byte) (content, rest []byte, ok bool) {
	actual, content, rest, ok := element(der)
	if !ok || actual != tag {
		return nil, der, false
	}
	return content, rest, true
}

// element reads the element at the start of der without allocating. Tag numbers
// above 30 do not occur in certificates and are refused.
func element(der []byte) (tag byte, content, rest []byte, ok bool) {
	if len(der) < 2 || der[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	tag, length, der := der[0], int(der[1]), der[2:]
	if length >= 0x80 {
		size := length - 0x80
		if size == 0 || size > 3 || size > len(der) {
			return 0, nil, nil, false
		}
		length = 0
		for _, b := range der[:size] {
			length = length<<8 | int(b)
		}
		der = der[size:]
	}
	if length > len(der) {
		return 0, nil, nil, false
	}
	return tag, der[:length], der[length:], true
}

// serialFault finds a negative serial number.
func (o outline) serialFault() (Fault, bool) {
	if len(o.serial) == 0 || o.serial[0] < 0x80 {
		return Fault{}, false
	}
	return Fault{"a negative serial number", "have the certificate issued with a positive serial number (RFC 5280, section 4.1.2.2)"}, true
}

// algorithmFault finds a difference between the two signature algorithms.
func (o outline) algorithmFault() (Fault, bool) {
	if bytes.Equal(o.innerAlgorithm, o.outerAlgorithm) {
		return Fault{}, false
	}
	return Fault{"two different signature algorithms, inside and outside the signed part", encodeHint}, true
}

// stringType returns the name of the type of an attribute value, or "" if crypto/x509
// supports it.
func stringType(tag byte) string {
	switch tag {
	case asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagT61String, asn1.TagIA5String, asn1.TagBMPString, asn1.TagNumericString:
		return ""
	case 28: // X.680; asn1 has no constant
		return "UniversalString"
	case asn1.TagBitString:
		return "BIT STRING"
	default:
		return "another ASN.1 type"
	}
}

// nameFault finds an attribute value of a type that crypto/x509 refuses.
func (o outline) nameFault() (Fault, bool) {
	for _, name := range []struct {
		field   string
		content []byte
	}{{"issuer", o.issuer}, {"subject", o.subject}} {
		if kind := nameType(name.content); kind != "" {
			return Fault{"text of the type " + kind + " in its " + name.field, "have the certificate issued with UTF8String in its names (RFC 5280, section 4.1.2.4)"}, true
		}
	}
	return Fault{}, false
}

// nameType returns the first unsupported type in a name, or "".
func nameType(name []byte) string {
	for len(name) > 0 {
		set, rest, ok := next(name, tagSet)
		if !ok {
			return ""
		}
		name = rest
		for len(set) > 0 {
			var kind string
			if kind, set, ok = attributeType(set); !ok || kind != "" {
				return kind
			}
		}
	}
	return ""
}

// attributeType returns the unsupported type of the first attribute in set, or "", and
// the bytes after the attribute.
func attributeType(set []byte) (kind string, rest []byte, ok bool) {
	attribute, rest, ok := next(set, tagSequence)
	if !ok {
		return "", nil, false
	}
	_, value, ok := next(attribute, asn1.TagOID)
	if !ok {
		return "", nil, false
	}
	tag, _, _, ok := element(value)
	return stringType(tag), rest, ok
}

// maxExtensions is the number of extensions that are compared with each other. Most
// certificates have at most 20.
const maxExtensions = 64

// extensionFault finds an extension that occurs twice (RFC 5280, section 4.2) among the
// first maxExtensions.
func (o outline) extensionFault() (Fault, bool) {
	var seen [][]byte
	for rest := o.extensions; len(rest) > 0 && len(seen) < maxExtensions; {
		extension, after, ok := next(rest, tagSequence)
		if !ok {
			return Fault{}, false
		}
		id, _, ok := next(extension, asn1.TagOID)
		if !ok {
			return Fault{}, false
		}
		if slices.ContainsFunc(seen, func(other []byte) bool { return bytes.Equal(other, id) }) {
			return Fault{"the same extension twice", "have the certificate issued with each extension once (RFC 5280, section 4.2)"}, true
		}
		seen, rest = append(seen, id), after
	}
	return Fault{}, false
}
