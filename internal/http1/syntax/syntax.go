// Package syntax has the lexical rules of HTTP/1.1 that the other packages share: field values
// and field names (RFC 9110, section 5), lines and chunk sizes. Those of tokens are httpguts'.
package syntax

import (
	"encoding/binary"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// IsFieldValue reports whether s has no control characters except the tab (RFC 9110,
// section 5.5). Bytes above 0x7f are allowed.
func IsFieldValue(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// The top bit of a byte is set if the byte is DEL or below a space, as a tab is.
		// A borrow from the byte before it can set the bit too, so the bytes are looked at again.
		w := word(s)
		del := w ^ ones*0x7f
		if ((w-ones*' ')&^w|(del-ones)&^del)&tops != 0 && !httpguts.ValidHeaderFieldValue(s[:8]) {
			return false
		}
	}
	return httpguts.ValidHeaderFieldValue(s)
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
func word(s string) uint64 { return binary.LittleEndian.Uint64([]byte(s[:8])) }

// CutField cuts the first field line from text (RFC 9112, section 5). The name is in canonical
// form, and the value is without the whitespace around it. ok is false when the line is malformed
// or does not end in CRLF.
func CutField(text string) (name, value, rest string, ok bool) {
	colon := strings.IndexByte(text, ':')
	if colon < 0 {
		return "", "", text, false
	}
	end := strings.IndexByte(text[colon:], '\n') + colon
	if end <= colon || text[end-1] != '\r' {
		return "", "", text, false
	}
	value = text[colon+1 : end-1]
	for value != "" && isBlank(value[0]) {
		value = value[1:]
	}
	for value != "" && isBlank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	name, ok = CanonicalName(text[:colon]) // not a token if the first line has no colon
	return name, value, text[end+1:], ok && IsFieldValue(value)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// ParseChunkSize parses the line "SIZE[;extension]" without its line end (RFC 9112, section 7.1).
// The size has at most 15 digits. Control characters are malformed in extensions, too.
func ParseChunkSize(line string) (size int64, ok bool) {
	digits, _, _ := strings.Cut(strings.TrimRight(line, " \t"), ";")
	n, err := strconv.ParseUint(digits, 16, 60)
	return int64(n), err == nil && len(digits) <= 15 && IsFieldValue(line) // at most 60 bits
}

// CanonicalName returns the field name as net/http spells it. ok is false when the name is not
// a token (RFC 9110, section 5.6.2). Common names are found in a table, without a copy.
func CanonicalName(name string) (canonical string, ok bool) {
	if canonical, ok = common[name]; ok {
		return canonical, true
	}
	return textproto.CanonicalMIMEHeaderKey(name), httpguts.ValidHeaderFieldName(name)
}

// common maps names of most requests and responses, also as HTTP/2 and proxies such as Envoy
// write them, to their canonical form.
var common = commonNames()

func commonNames() map[string]string {
	names := map[string]string{"X-SSL-Auth": "X-Ssl-Auth"}
	for name := range strings.FieldsSeq(`Accept Accept-Encoding Accept-Language Authorization Cache-Control
		Client-Cert Connection Content-Digest Content-Encoding Content-Length Content-Type Cookie Date Etag
		Forwarded Host Idempotency-Key If-None-Match Last-Modified Location Origin Priority Referer Server
		Signature Signature-Input Traceparent Tracestate Transfer-Encoding User-Agent Vary X-Forwarded-For
		X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Real-Ip X-Request-Id X-Ssl-Auth`) {
		names[name], names[strings.ToLower(name)] = name, name
	}
	return names
}
