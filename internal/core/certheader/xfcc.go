package certheader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// xfccKeys are the fields of Envoy's X-Forwarded-Client-Cert, in lower case.
var xfccKeys = []string{"by", "hash", "cert", "chain", "subject", "uri", "dns"}

// maxXFCCFields is far above what a certificate with many names makes.
const maxXFCCFields = 128

// xfccKey is the field that key names, or "". Envoy compares keys without regard
// to the case of ASCII letters. A letter that only Unicode folds to one of
// these has more bytes, so equal lengths keep it out.
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

// decodeXFCC reads the one element of an X-Forwarded-Client-Cert value:
// KEY=VALUE pairs in any order with semicolons between, a value quoted where it
// holds a separator. Several elements mean several proxies, of which nobody says
// which one vouches for the client, so they are refused.
//
// Cert is the client's certificate; Chain, where present, begins with the same.
//
// Where a URI or DNS stands before Cert or Chain, a Hash must be the SHA-256 of
// the certificate. Elsewhere Hash is not read: nothing depends on it.
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

// xfccElement is what an element holds.
//
// afterName: Cert or Chain stands behind a URI or DNS. Envoy writes these names
// of the client's certificate as they are, so a name with semicolons could have
// brought the Cert; Envoy's Hash stands before it and cannot be repeated.
// Quotes around the name prove nothing: they may be the name's own. A name
// behind Cert cannot bring another, because a second Cert is refused.
type xfccElement struct {
	fields    map[string]string // by key in lower case
	afterName bool
}

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

// xfccFields splits an element. A field that occurs twice is refused, except By,
// URI and DNS, which Envoy repeats and nobody here reads.
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

// xfccValue reads one value up to its semicolon. more: another pair follows.
// Inside quotes a backslash takes away the meaning of the next byte. It stays in
// the value: the fields that are read here have no use for one, and are refused
// with it.
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
