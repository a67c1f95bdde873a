package certheader

import (
	"encoding/asn1"
	"regexp"
	"strings"
)

// holdsKey finds a private key: in PEM of any type, and in DER as PKCS #8 (RFC
// 5208), encrypted or not, PKCS #1 (RFC 8017), SEC 1 (RFC 5915) or PKCS #12, which
// is a key with its certificate. It looks at the outline only and parses no key:
// that would let a stranger make the gateway work.
func (s seen) holdsKey() bool {
	if strings.Contains(s.text, "PRIVATE KEY-----") || strings.Contains(s.text, "PRIVATE+KEY-----") {
		return true
	}
	switch s.second.Tag {
	case asn1.TagSequence, asn1.TagInteger:
		return isVersion(s.first)
	case asn1.TagOctetString: // SEC 1, or encrypted PKCS #8
		return isVersion(s.first) || s.first.Tag == asn1.TagSequence
	default:
		return false
	}
}

// isVersion: the numbers of a public key are longer.
func isVersion(v asn1.RawValue) bool {
	return v.Tag == asn1.TagInteger && len(v.Bytes) == 1
}

// elements are the first two of a SEQUENCE, without a tag where there are none.
func elements(der []byte) (first, second asn1.RawValue) {
	outer, _ := element(der)
	if outer.Tag != asn1.TagSequence {
		return asn1.RawValue{}, asn1.RawValue{}
	}
	first, rest := element(outer.Bytes)
	second, _ = element(rest)
	return first, second
}

func element(der []byte) (e asn1.RawValue, rest []byte) {
	rest, err := asn1.Unmarshal(der, &e)
	if err != nil {
		return asn1.RawValue{}, nil
	}
	return e, rest
}

// label is the type of the first PEM block, with a plus as a space.
func (s seen) label() string {
	_, rest, ok := strings.Cut(s.text, pemBegin)
	name, _, closed := strings.Cut(rest, pemDashes)
	if !ok || !closed || name == "" {
		return ""
	}
	return strings.ReplaceAll(name[1:], "+", " ")
}

// setTag begins what a name consists of; in a certificate of version 1 an
// algorithm stands in that place.
const setTag = 0x31

func (s seen) isRequest() bool {
	if strings.HasSuffix(s.label(), "CERTIFICATE REQUEST") {
		return true
	}
	if s.first.Tag != asn1.TagSequence {
		return false
	}
	version, name := elements(s.first.FullBytes)
	return isVersion(version) && name.Tag == asn1.TagSequence && (len(name.Bytes) == 0 || name.Bytes[0] == setTag)
}

func (s seen) isPublicKey() bool {
	if strings.HasSuffix(s.label(), "PUBLIC KEY") {
		return true
	}
	return s.first.Tag == asn1.TagSequence && s.second.Tag == asn1.TagBitString || // SubjectPublicKeyInfo
		s.first.Tag == asn1.TagInteger && s.second.Tag == asn1.TagInteger // PKCS #1
}

func (s seen) isNothing() bool {
	switch s.value {
	case "-", "(null)", "null", "nil", "<nil>", "None", "undefined", "false", "[object Object]":
		return true
	default:
		return false
	}
}

// isQuoted knows b'…' too, which is how Python prints bytes.
func (s seen) isQuoted() bool {
	return strings.HasPrefix(s.value, `"`) || strings.HasPrefix(s.value, "'") || strings.HasPrefix(s.value, "b'")
}

func (s seen) isTemplate() bool {
	return strings.HasPrefix(s.value, "$") || strings.HasPrefix(s.value, "`") || strings.HasPrefix(s.value, "{{")
}

var fileName = regexp.MustCompile(`(?i)^(/|\./|\.\./|~|@|file:|[a-z]:\\)|^[^ ]*\.(crt|pem|cer|cert|der|key|p12|pfx)$`)

func (s seen) isFileName() bool {
	return len(s.value) <= 1024 && !strings.Contains(s.value, pemDashes) && fileName.MatchString(s.value)
}

func (s seen) isEncodedTwice() bool {
	if strings.Contains(s.value, "%25") || strings.Contains(s.value, `\\n`) {
		return true
	}
	if s.text == s.value {
		return false
	}
	begins := func(prefix string) bool { return strings.HasPrefix(s.text, prefix) }
	return begins("LS0t") || begins("MI") || begins("%2D") || begins(pemBegin+"%20")
}

func (s seen) hasPreamble() bool {
	return strings.Index(s.text, pemHead) > 0 || strings.Index(s.text, formHead) > 0
}

// isCut: a PEM without its end, or a DER whose length goes on behind the value.
func (s seen) isCut() bool {
	if strings.Contains(s.text, pemBegin) {
		return !strings.Contains(s.text, "-----END")
	}
	return len(s.text) >= 4 && !strings.ContainsAny(s.value, " \t") && s.text[:2] == "0\x82" && int(s.text[2])<<8+int(s.text[3])+4 > len(s.text)
}

func (s seen) hasOtherBlock() bool {
	blocks := strings.Count(s.text, pemBegin)
	return blocks > strings.Count(s.text, pemHead)+strings.Count(s.text, formHead)
}

// mayBeBase64: it begins as that of a certificate does, in DER or PEM.
func (s seen) mayBeBase64() bool { return strings.ContainsAny(s.value[:1], "ML:") }

// hasSpaces does not count the one in each boundary line.
func (s seen) hasSpaces() bool {
	switch {
	case s.mayBeBase64():
		return strings.ContainsAny(s.value, " \t")
	case strings.HasPrefix(s.text, pemDashes):
		return strings.Count(s.text, " ")+strings.Count(s.text, "\t") > strings.Count(s.text, pemHead)+strings.Count(s.text, pemTail)
	default:
		return false
	}
}

func (s seen) isOtherBase64() bool {
	return s.mayBeBase64() && s.text != s.value &&
		(strings.ContainsAny(s.value, "-_") || len(strings.Trim(s.value, ":"))%4 != 0)
}
