package client

import "strings"

// tokenBytes are the bytes of a token (RFC 9110, section 5.6.2).
var tokenBytes = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true, '.': true, '^': true, '_': true,
	'`': true, '|': true, '~': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true, 'L': true,
	'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true,
	'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true,
	'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true,
	'y': true, 'z': true,
}

func isToken(name string) bool {
	for i := range len(name) {
		if !tokenBytes[name[i]] {
			return false
		}
	}
	return name != ""
}

// trim takes spaces and tabs off both ends.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isWord: no space and no control character.
func isVisible(s string) bool {
	return s != "" && printable(s) && strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, '\t') < 0
}

// printable: no control characters but the tab (RFC 9110, section 5.5).
func printable(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if mayHaveControl(s) && !printableBytes(s[:8]) {
			return false
		}
	}
	return printableBytes(s)
}

func printableBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// suspicious reports whether a control character, tabs included, may be among the
// first eight bytes, which it looks at all at once: a byte below n, in x, shows
// as its high bit in (x - n in each byte) and not in x.
func mayHaveControl(s string) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	del := x ^ each*0x7f
	return ((x-each*' ')&^x|(del-each)&^del)&high != 0
}
