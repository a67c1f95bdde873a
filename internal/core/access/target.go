package access

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/refusal"
)

// maxTarget is the longest request target in bytes. RFC 9110, section 4.1, recommends
// to support at least 8000 octets.
const maxTarget = 8 << 10

// Target is a request target with only one interpretation: no two programs on the path of
// the request can disagree about the resource. It keeps the received bytes, so that the
// forwarded target is the one that was checked. The zero value is refused by every decision.
type Target struct {
	raw     string
	decoded string // the path, percent-decoded once; its segments are the raw path's
}

// ParseTarget parses the raw bytes of a request target in origin form (RFC 9112, section
// 3.2.1), as in [net/http.Request.RequestURI]. It never normalizes. It refuses targets that
// servers interpret differently, with reason PathAmbiguous:
//
//   - anything except a path that begins with "/" and an optional query, of at
//     most 8 KiB, and a fragment;
//   - a segment of nothing but dots, spaces and invisible characters before its
//     first ";": the empty segment of "//", ".", "..", "..;x" (Tomcat), "...", ".. "
//     (Windows); and the same before an encoded "?" or "#", where a program that
//     parses the decoded path again would end it;
//   - in the path: spaces, control characters, backslashes and bytes outside
//     ASCII, raw; in the query: spaces and control characters, raw;
//   - a "%" without two hexadecimal digits after it;
//   - an encoded slash, backslash, dot or control character, and encoded bytes that are
//     not UTF-8, such as overlong encodings of these;
//   - encoded characters that Unicode normalization or Windows maps to a slash,
//     backslash, dot or percent sign, such as the fullwidth forms;
//   - a path that breaks these rules after it is decoded twice, or that can be decoded a
//     third time.
func ParseTarget(raw string) (Target, error) {
	t, err := parseTarget(raw)
	if err != nil {
		return Target{}, refusal.New(refusal.PathAmbiguous, "%v in request target %.80q", err, raw)
	}
	return t, nil
}

// Path returns the raw path, byte for byte as received and still percent-encoded.
func (t Target) Path() string {
	path, _, _ := strings.Cut(t.raw, "?")
	return path
}

// String returns the target as it was parsed.
func (t Target) String() string { return t.raw }

func (t Target) valid() bool { return t.raw != "" }

func parseTarget(raw string) (Target, error) {
	if len(raw) > maxTarget {
		return Target{}, fmt.Errorf("want at most %d bytes, found %d", maxTarget, len(raw))
	}
	if !strings.HasPrefix(raw, "/") {
		return Target{}, errors.New(`want a "/" at the beginning`)
	}
	path, query, _ := strings.Cut(raw, "?")
	if err := checkQuery(query); err != nil {
		return Target{}, err
	}
	decoded, err := decodePath(path)
	if err != nil {
		return Target{}, err
	}
	return Target{raw: raw, decoded: decoded}, nil
}

func checkQuery(query string) error {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return fmt.Errorf("want no raw byte 0x%02x in the query", c)
		}
	}
	return nil
}

// decodePath checks the raw path and decodes it once. The result has the same segments as
// path, because an encoded slash is refused.
func decodePath(path string) (string, error) {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return "", fmt.Errorf("want no raw byte 0x%02x in the path", c)
		}
	}
	decoded := path
	if strings.IndexByte(path, '%') >= 0 {
		var err error
		if decoded, err = decodeEscapes(path); err != nil {
			return "", err
		}
	}
	return decoded, checkSegments(decoded)
}

func decodeEscapes(path string) (string, error) {
	once, err := url.PathUnescape(path)
	if err != nil {
		return "", errors.New(`want two hex digits after every "%"`)
	}
	if err := checkEscapes(path, `/\.`); err != nil {
		return "", err
	}
	if err := checkText(once); err != nil {
		return "", err
	}
	if err := checkEscapes(once, `/\.%`); err != nil {
		return "", fmt.Errorf("decoded once: %w", err)
	}
	twice := decodeLeniently(once)
	if err := checkText(twice); err != nil {
		return "", fmt.Errorf("decoded twice: %w", err)
	}
	if decodeLeniently(twice) != twice {
		return "", errors.New("decoded twice: want no percent escape")
	}
	if err := checkSegments(twice); err != nil {
		return "", fmt.Errorf("decoded twice: %w", err)
	}
	return once, nil
}

// checkEscapes refuses percent escapes of the given characters.
func checkEscapes(text, forbidden string) error {
	for i := range len(text) {
		if c, ok := escapeAt(text, i); ok && strings.IndexByte(forbidden, c) >= 0 {
			return fmt.Errorf("want no percent-encoded %q", c)
		}
	}
	return nil
}

// checkText refuses decoded text that is not UTF-8, or contains control characters or
// characters that a program may interpret as "/", "\", "." or "%".
func checkText(decoded string) error {
	if !utf8.ValidString(decoded) {
		return errors.New("want percent-encoded bytes that are UTF-8")
	}
	for _, r := range decoded {
		if unicode.IsControl(r) {
			return fmt.Errorf("want no percent-encoded control character, found %q", r)
		}
		if c := lookalike(r); c != 0 {
			return fmt.Errorf("want no character that can be taken for %q, found %q", c, r)
		}
	}
	return nil
}

// checkSegments refuses segments that a program on the path may remove or interpret as the parent
// directory. The decoded path begins with a slash. A final slash begins no segment.
func checkSegments(decoded string) error {
	for rest := decoded; len(rest) > 1; {
		segment := rest[1:]
		if i := strings.IndexByte(segment, '/'); i >= 0 {
			segment = segment[:i]
		}
		if isDots(segment) {
			return fmt.Errorf("want no segment such as %.40q", segment)
		}
		rest = rest[1+len(segment):]
	}
	return nil
}

// decodeLeniently decodes every valid escape and keeps the rest, as a lenient second decoder
// does.
func decodeLeniently(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if c, ok := escapeAt(text, i); ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// escapeAt returns the byte that the escape at text[i] encodes.
func escapeAt(text string, i int) (c byte, ok bool) {
	if text[i] != '%' || i+2 >= len(text) {
		return 0, false
	}
	high, ok1 := unhex(text[i+1])
	low, ok2 := unhex(text[i+2])
	return high<<4 | low, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
