package audit

import (
	"fmt"
	"strings"
)

// cutMark ends a truncated text. No other character in sanitized text is outside ASCII,
// so a text cannot imitate the mark.
const cutMark = "…"

// sanitize returns s in printable ASCII, truncated to limit bytes. Every other byte is
// written as \xNN. JSON escapes newlines, but not U+0085, U+2028 and U+009B, which some
// terminals and readers interpret as line breaks or control sequences.
func sanitize(s string, limit int) string {
	if len(s) <= limit && isPrintableASCII(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		piece := s[i : i+1]
		if !isPrintableASCII(piece) {
			piece = fmt.Sprintf(`\x%02x`, s[i])
		}
		if b.Len()+len(piece) > limit-len(cutMark) {
			return b.String() + cutMark
		}
		b.WriteString(piece)
	}
	return b.String()
}

// isPrintableASCII reports whether s contains only printable ASCII characters.
func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
