package audit

import (
	"fmt"
	"strings"
)

// cutMark ends a text that was cut. It is the only thing beyond ASCII that
// plain writes, so a text cannot pretend to have been cut.
const cutMark = "…"

// plain is s in printable ASCII and at most limit bytes long. Every other byte
// is written as \xNN. JSON would escape a newline anyway; it would not escape
// U+0085, U+2028 and U+009B, which split lines and drive terminals.
func plain(s string, limit int) string {
	if len(s) <= limit && isPlain(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		piece := s[i : i+1]
		if !isPlain(piece) {
			piece = fmt.Sprintf(`\x%02x`, s[i])
		}
		if b.Len()+len(piece) > limit-len(cutMark) {
			return b.String() + cutMark
		}
		b.WriteString(piece)
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
