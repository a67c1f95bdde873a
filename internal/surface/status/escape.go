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
	clean := plainPrefix(text)
	if clean == len(text) {
		return text
	}
	escaped := append(make([]byte, 0, len(text)+len(text)/64), text[:clean]...)
	for rest := text[clean:]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		escaped, rest = appendEscaped(escaped, r), rest[size:]
		plain := plainPrefix(rest)
		escaped, rest = append(escaped, rest[:plain]...), rest[plain:]
	}
	return escaped
}

// plainPrefix returns the number of bytes at the beginning that need no escape.
func plainPrefix(text []byte) (n int) {
	for n < len(text) && isPlain(text[n]) {
		n++
	}
	return n
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
