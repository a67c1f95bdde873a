package certheader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// xfccKeys are the fields of Envoy's X-Forwarded-Client-Cert, in lower case.
var xfccKeys = []string{"by", "hash", "cert", "chain", "subject", "uri", "dns"}

// maxXFCCFields is the maximum number of fields in an element. A certificate with many
// names has far fewer.
const maxXFCCFields = 128

// xfccKey returns the field name for a key in any case, or "". Envoy ignores the case of
// ASCII letters only. Other letters that Unicode folds to ASCII have more bytes, so the
// comparison of lengths excludes them.
func xfccKey(key string) string {
	for _, k := range xfccKeys {
		if len(k) == len(key) && strings.EqualFold(k, key) {
			return k
		}
	}
	return ""
}

// isXFCC reports whether the value begins with one of Envoy's fields.
func isXFCC(value string) bool {
	key, _, ok := strings.Cut(value, "=")
	return ok && xfccKey(key) != ""
}

// decodeXFCC decodes the only element of an X-Forwarded-Client-Cert value: KEY=VALUE pairs
// in any order, separated by semicolons. A value that contains a separator is quoted.
// Several elements come from several proxies and are refused, because it is unknown which
// of them holds the client's certificate.
//
// Cert is the client's certificate. Chain, if present, begins with the same certificate.
//
// If URI or DNS occurs before Cert or Chain and there is a Hash, the Hash must be the
// SHA-256 of the certificate. Otherwise the Hash is ignored.
func decodeXFCC(value string) ([][]byte, error) {
	element, err := xfccFields(value)
	if err != nil {
		return nil, err
	}
	ders, err := xfccCertificates(element.fields)
	if err != nil {
		return nil, err
	}
	if hash, ok := element.fields["hash"]; ok && element.afterName {
		digest := sha256.Sum256(ders[0])
		if !strings.EqualFold(hash, hex.EncodeToString(digest[:])) {
			return nil, malformed("want Hash to be the SHA-256 of the certificate, found another")
		}
	}
	return ders, nil
}

// xfccElement is a parsed element.
type xfccElement struct {
	fields map[string]string // by key in lower case
	// afterName is true if Cert or Chain follows a URI or DNS field. Envoy copies these
	// names from the client's certificate without escaping, so a name with semicolons
	// may contain a forged Cert. Envoy writes Hash before the names, and a second Hash is
	// refused, so it detects a forged Cert. Quotes around a name prove nothing, because
	// they may be part of it. A name after Cert cannot add a Cert, because a second one
	// is refused.
	afterName bool
}

// mayRepeat reports whether a field may occur more than once.
func mayRepeat(key string) bool { return key == "by" || key == "uri" || key == "dns" }

func xfccCertificates(fields map[string]string) ([][]byte, error) {
	cert, hasCert := fields["cert"]
	chain, hasChain := fields["chain"]
	switch {
	case !hasCert && !hasChain:
		return nil, malformed("want an XFCC element with Cert or Chain, found neither")
	case strings.Contains(cert, `\`), strings.Contains(chain, `\`):
		return nil, malformed("want Cert and Chain percent-encoded, found a backslash")
	case !hasCert:
		return decodePercentPEM(chain)
	}
	leaf, err := decodePercentPEM(cert)
	switch {
	case err != nil:
		return nil, err
	case len(leaf) != 1:
		return nil, malformed("want one certificate in Cert, found several")
	case !hasChain:
		return leaf, nil
	}
	all, err := decodePercentPEM(chain)
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(leaf[0], all[0]):
		return nil, malformed("want Chain to begin with Cert, found another certificate")
	}
	return all, nil
}

// xfccFields splits an element into fields. A field that occurs twice is refused, except
// By, URI and DNS, which Envoy repeats and whose values are not used.
func xfccFields(value string) (xfccElement, error) {
	e := xfccElement{fields: map[string]string{}}
	named, count := false, 0
	for rest, more := value, true; more; count++ {
		if count == maxXFCCFields {
			return xfccElement{}, malformed("want at most 128 XFCC fields, found more")
		}
		var key, field string
		var ok bool
		if key, rest, ok = strings.Cut(rest, "="); !ok {
			return xfccElement{}, malformed("want KEY=VALUE in XFCC, found something else")
		}
		if field, rest, more, ok = xfccValue(rest); !ok {
			return xfccElement{}, malformed("want one XFCC element with closed quotes, found something else")
		}
		key = xfccKey(key)
		_, twice := e.fields[key]
		switch {
		case key == "":
			return xfccElement{}, malformed("want the XFCC fields that Envoy has, found an unknown one")
		case twice && !mayRepeat(key):
			return xfccElement{}, malformed("want each XFCC field once, found a repeated one")
		}
		e.fields[key] = field
		named = named || key == "uri" || key == "dns"
		e.afterName = e.afterName || named && (key == "cert" || key == "chain")
	}
	return e, nil
}

// xfccValue splits text after its first value. The result more is true if another pair
// follows. In quotes, a backslash escapes the next byte. It stays in the returned value;
// fields that are used later are refused if they contain one.
func xfccValue(text string) (value, rest string, more, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, more = strings.Cut(text, ";")
		return value, rest, more, !strings.ContainsAny(value, `",\`)
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			rest, more = strings.CutPrefix(text[i+1:], ";")
			return text[1:i], rest, more, more || rest == ""
		}
	}
	return "", "", false, false
}

func encodeXFCC(ders [][]byte) string {
	if len(ders) == 1 {
		return `Cert="` + escape(encodePEM(ders)) + `"`
	}
	return `Chain="` + escape(encodePEM(ders)) + `"`
}
