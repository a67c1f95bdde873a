package certheader

import (
	"encoding/asn1"
	"regexp"
	"strings"
)

// hasPrivateKey reports whether the value contains a private key: in PEM of any type, or
// in DER as PKCS #8 (RFC 5208, encrypted or not), PKCS #1 (RFC 8017), SEC 1 (RFC 5915) or
// PKCS #12, which holds a key with its certificate. It inspects the outer elements only:
// parsing keys would let unknown senders cause expensive work.
func (v inspected) hasPrivateKey() bool {
	if strings.Contains(v.text, "PRIVATE KEY-----") || strings.Contains(v.text, "PRIVATE+KEY-----") {
		return true
	}
	switch v.second.Tag {
	case asn1.TagSequence, asn1.TagInteger:
		return isVersion(v.first)
	case asn1.TagOctetString: // SEC 1, or encrypted PKCS #8
		return isVersion(v.first) || v.first.Tag == asn1.TagSequence
	default:
		return false
	}
}

// isVersion reports whether the element is an INTEGER of one byte. The numbers in a public
// key are longer.
func isVersion(e asn1.RawValue) bool {
	return e.Tag == asn1.TagInteger && len(e.Bytes) == 1
}

// elements returns the first two elements of a SEQUENCE. Elements that do not exist have no
// tag.
func elements(der []byte) (first, second asn1.RawValue) {
	outer, _ := element(der)
	if outer.Tag != asn1.TagSequence {
		return asn1.RawValue{}, asn1.RawValue{}
	}
	first, rest := element(outer.Bytes)
	second, _ = element(rest)
	return first, second
}

// element returns the first element of der and the bytes after it.
func element(der []byte) (e asn1.RawValue, rest []byte) {
	rest, err := asn1.Unmarshal(der, &e)
	if err != nil {
		return asn1.RawValue{}, nil
	}
	return e, rest
}

// label returns the type of the first PEM block, with every plus replaced by a space.
func (v inspected) label() string {
	_, rest, ok := strings.Cut(v.text, pemBegin)
	name, _, closed := strings.Cut(rest, pemDashes)
	if !ok || !closed || name == "" {
		return ""
	}
	return strings.ReplaceAll(name[1:], "+", " ")
}

// setTag is the tag of a SET, with which the content of a Name begins. A certificate of
// version 1 has an AlgorithmIdentifier at the position where a certificate request has its
// Name.
const setTag = 0x31

func (v inspected) isRequest() bool {
	if strings.HasSuffix(v.label(), "CERTIFICATE REQUEST") {
		return true
	}
	if v.first.Tag != asn1.TagSequence {
		return false
	}
	version, name := elements(v.first.FullBytes)
	return isVersion(version) && name.Tag == asn1.TagSequence && (len(name.Bytes) == 0 || name.Bytes[0] == setTag)
}

func (v inspected) isPublicKey() bool {
	if strings.HasSuffix(v.label(), "PUBLIC KEY") {
		return true
	}
	return v.first.Tag == asn1.TagSequence && v.second.Tag == asn1.TagBitString || // SubjectPublicKeyInfo
		v.first.Tag == asn1.TagInteger && v.second.Tag == asn1.TagInteger // PKCS #1
}

func (v inspected) isPlaceholder() bool {
	switch v.value {
	case "-", "(null)", "null", "nil", "<nil>", "None", "undefined", "false", "[object Object]":
		return true
	default:
		return false
	}
}

// isQuoted reports whether the value is in quotes, including b'…', which Python prints for
// bytes.
func (v inspected) isQuoted() bool {
	return strings.HasPrefix(v.value, `"`) || strings.HasPrefix(v.value, "'") || strings.HasPrefix(v.value, "b'")
}

func (v inspected) isTemplate() bool {
	return strings.HasPrefix(v.value, "$") || strings.HasPrefix(v.value, "`") || strings.HasPrefix(v.value, "{{")
}

var fileName = regexp.MustCompile(`(?i)^(/|\./|\.\./|~|@|file:|[a-z]:\\)|^[^ ]*\.(crt|pem|cer|cert|der|key|p12|pfx)$`)

func (v inspected) isFileName() bool {
	return len(v.value) <= 1024 && !strings.Contains(v.value, pemDashes) && fileName.MatchString(v.value)
}

func (v inspected) isEncodedTwice() bool {
	if strings.Contains(v.value, "%25") || strings.Contains(v.value, `\\n`) {
		return true
	}
	if v.text == v.value {
		return false
	}
	begins := func(prefix string) bool { return strings.HasPrefix(v.text, prefix) }
	return begins("LS0t") || begins("MI") || begins("%2D") || begins(pemBegin+"%20")
}

func (v inspected) hasPreamble() bool {
	return strings.Index(v.text, pemHead) > 0 || strings.Index(v.text, formHead) > 0
}

// isTruncated reports whether the value is PEM without an END line, or DER with a length
// beyond the end of the value.
func (v inspected) isTruncated() bool {
	if strings.Contains(v.text, pemBegin) {
		return !strings.Contains(v.text, "-----END")
	}
	return len(v.text) >= 4 && !strings.ContainsAny(v.value, " \t") && v.text[:2] == "0\x82" && int(v.text[2])<<8+int(v.text[3])+4 > len(v.text)
}

func (v inspected) hasOtherBlock() bool {
	blocks := strings.Count(v.text, pemBegin)
	return blocks > strings.Count(v.text, pemHead)+strings.Count(v.text, formHead)
}

// mayBeBase64 reports whether the value begins like the base64 of a certificate in DER or
// PEM.
func (v inspected) mayBeBase64() bool { return strings.ContainsAny(v.value[:1], "ML:") }

// hasSpaces reports whether the base64 contains white space. The space in each boundary
// line does not count.
func (v inspected) hasSpaces() bool {
	switch {
	case v.mayBeBase64():
		return strings.ContainsAny(v.value, " \t")
	case strings.HasPrefix(v.text, pemDashes):
		return strings.Count(v.text, " ")+strings.Count(v.text, "\t") > strings.Count(v.text, pemHead)+strings.Count(v.text, pemTail)
	default:
		return false
	}
}

func (v inspected) isOtherBase64() bool {
	return v.mayBeBase64() && v.text != v.value &&
		(strings.ContainsAny(v.value, "-_") || len(strings.Trim(v.value, ":"))%4 != 0)
}
