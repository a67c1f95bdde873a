// Package syntax has the lexical rules of HTTP/1.1 that the server and the client share:
// tokens, field values and field names (RFC 9110, section 5).
package syntax

import (
	"net/textproto"
	"strings"
)

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), such as a method or a
// field name. The empty string is not one.
func IsToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenBytes contains true for each byte that a token may have.
var tokenBytes = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true,
	'.': true, '^': true, '_': true, '`': true, '|': true, '~': true, '0': true, '1': true, '2': true,
	'3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true, 'A': true, 'B': true,
	'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true,
	'L': true, 'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true,
	'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true, 'a': true, 'b': true, 'c': true,
	'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true,
	'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'u': true,
	'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
}

// IsFieldValue reports whether s has no control characters except the tab (RFC 9110,
// section 5.5). Bytes above 0x7f are allowed.
func IsFieldValue(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// The top bit of a byte is set if the byte is DEL or below a space, as a tab is.
		// A borrow from the byte before it can set the bit too, so isFieldValue decides.
		w := word(s)
		del := w ^ ones*0x7f
		if ((w-ones*' ')&^w|(del-ones)&^del)&tops != 0 && !isFieldValue(s[:8]) {
			return false
		}
	}
	return isFieldValue(s)
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// IsPrintable reports whether all bytes of s are printable ASCII, from space to tilde.
func IsPrintable(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// The top bit of a byte is set in w for a byte above 0x7f, in w-ones*' ' for a
		// byte below a space, and in w+ones for 0x7f. A borrow or carry that sets the top
		// bit of another byte comes from one of these bytes.
		w := word(s)
		if (w|(w-ones*' ')|(w+ones))&tops != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

// word returns the first eight bytes of s.
func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// CutLine returns the first line of text without its CRLF, and the text after it. ok is false
// if the first line feed does not follow a carriage return. The last line need not end in CRLF.
func CutLine(text string) (line, rest string, ok bool) {
	i := strings.IndexByte(text, '\n')
	switch {
	case i < 0:
		return text, "", true
	case i == 0 || text[i-1] != '\r':
		return "", "", false
	default:
		return text[:i-1], text[i+1:], true
	}
}

// TrimSpace removes spaces and tabs from both ends of s, the optional white space of
// RFC 9110, section 5.6.3.
func TrimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// CanonicalName returns the field name as net/http spells it. ok is false when the name has
// other characters than letters, digits, '-' and '_'. Such a name may be a token, and
// net/http accepts it then. A name that is canonical already, or is common, is not copied.
func CanonicalName(name string) (canonical string, ok bool) {
	first, same := true, true // first: of a word
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z':
			same = same && !first
		case 'A' <= c && c <= 'Z':
			same = same && first
		case c == '-':
			first = true
			continue
		case c != '_' && (c < '0' || c > '9'):
			return "", false
		}
		first = false
	}
	if same {
		return name, name != ""
	}
	if canonical, ok := common[name]; ok {
		return canonical, true
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}

// common has common names that are not canonical and that net/textproto does not know: the
// documented spelling of the certificate header, and names that proxies such as Envoy write in
// lower case.
var common = map[string]string{
	"X-SSL-Auth":        "X-Ssl-Auth",
	"client-cert":       "Client-Cert",
	"content-digest":    "Content-Digest",
	"forwarded":         "Forwarded",
	"idempotency-key":   "Idempotency-Key",
	"priority":          "Priority",
	"signature":         "Signature",
	"signature-input":   "Signature-Input",
	"traceparent":       "Traceparent",
	"tracestate":        "Tracestate",
	"x-forwarded-for":   "X-Forwarded-For",
	"x-forwarded-host":  "X-Forwarded-Host",
	"x-forwarded-port":  "X-Forwarded-Port",
	"x-forwarded-proto": "X-Forwarded-Proto",
	"x-request-id":      "X-Request-Id",
	"x-ssl-auth":        "X-Ssl-Auth",
}
