package status

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// escapeUnprintable replaces characters that are not printable, except line feeds, by their
// \uXXXX escapes. These characters can hide text or change its direction. The escapes are
// valid in JSON strings, which are the only place for such characters in JSON. The page's
// own text has none. Bytes that are not UTF-8 become U+FFFD.
func escapeUnprintable(text []byte) []byte {
	clean := 0 // text[:clean] needs no escape
	for clean < len(text) && isPlain(text[clean]) {
		clean++
	}
	if clean == len(text) {
		return text
	}
	escaped := append(make([]byte, 0, len(text)+len(text)/64), text[:clean]...)
	for rest := text[clean:]; len(rest) > 0; {
		if isPlain(rest[0]) {
			escaped, rest = append(escaped, rest[0]), rest[1:]
			continue
		}
		r, size := utf8.DecodeRune(rest)
		escaped, rest = appendEscaped(escaped, r), rest[size:]
	}
	return escaped
}

// isPlain reports whether a byte is a printable ASCII character or a line feed.
func isPlain(c byte) bool { return c >= ' ' && c <= '~' || c == '\n' }

func appendEscaped(text []byte, r rune) []byte {
	switch {
	case unicode.IsPrint(r):
		return utf8.AppendRune(text, r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(text, `\u%04x\u%04x`, high, low)
	default:
		return fmt.Appendf(text, `\u%04x`, r)
	}
}
