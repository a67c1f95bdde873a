package certheader

import (
	"bytes"
	"strings"
)

// xfccKeys are the fields of Envoy's X-Forwarded-Client-Cert, in lower case:
// Envoy compares them without regard to case.
var xfccKeys = map[string]bool{
	"by": true, "hash": true, "cert": true, "chain": true, "subject": true, "uri": true, "dns": true,
}

// isXFCC reports whether the value begins with one of Envoy's fields.
func isXFCC(value string) bool {
	key, _, ok := strings.Cut(value, "=")
	return ok && xfccKeys[strings.ToLower(key)]
}

// decodeXFCC reads the one element of an X-Forwarded-Client-Cert value:
// KEY=VALUE pairs in any order with semicolons between, a value quoted where it
// holds a separator. Several elements mean several proxies, of which nobody says
// which one vouches for the client, so they are refused.
//
// Cert is the client's certificate; Chain, where present, begins with the same.
func decodeXFCC(value string) ([][]byte, error) {
	fields, err := xfccFields(value)
	if err != nil {
		return nil, err
	}
	cert, hasCert := fields["cert"]
	chain, hasChain := fields["chain"]
	switch {
	case hasCert && !hasChain:
		return one(decodePercentPEM(cert))
	case hasChain && !hasCert:
		return decodePercentPEM(chain)
	case !hasCert:
		return nil, malformed("want an XFCC element with Cert or Chain, found neither")
	}
	leaf, err := one(decodePercentPEM(cert))
	if err != nil {
		return nil, err
	}
	all, err := decodePercentPEM(chain)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(leaf[0], all[0]) {
		return nil, malformed("want Chain to begin with Cert, found another certificate")
	}
	return all, nil
}

func one(ders [][]byte, err error) ([][]byte, error) {
	if err == nil && len(ders) != 1 {
		return nil, malformed("want one certificate in Cert, found several")
	}
	return ders, err
}

// xfccFields splits an element. A field that occurs twice is refused, except
// URI and DNS, which Envoy repeats and nobody here reads.
func xfccFields(value string) (map[string]string, error) {
	fields := map[string]string{}
	for rest, more := value, true; more; {
		var key, field string
		var ok bool
		if key, rest, ok = strings.Cut(rest, "="); !ok {
			return nil, malformed("want KEY=VALUE in XFCC, found something else")
		}
		if field, rest, more, ok = xfccValue(rest); !ok {
			return nil, malformed("want one XFCC element with closed quotes, found something else")
		}
		key = strings.ToLower(key)
		_, twice := fields[key]
		if !xfccKeys[key] || twice && key != "uri" && key != "dns" {
			return nil, malformed("want each XFCC field once, found an unknown or a repeated one")
		}
		fields[key] = field
	}
	return fields, nil
}

// xfccValue reads one value up to its semicolon. more: another pair follows.
// Inside quotes a backslash takes the next byte as it is.
func xfccValue(text string) (value, rest string, more, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, more = strings.Cut(text, ";")
		return value, rest, more, !strings.ContainsAny(value, `",\`)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
			if i < len(text) {
				b.WriteByte(text[i])
			}
		case '"':
			rest, more = strings.CutPrefix(text[i+1:], ";")
			return b.String(), rest, more, more || rest == ""
		default:
			b.WriteByte(text[i])
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
