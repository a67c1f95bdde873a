package access

import "unicode"

// lookalike returns the ASCII character for which a program may take r: because
// Unicode compatibility normalization (NFKC) maps r to it, alone or among others, or
// because Windows does when it converts r to an 8-bit character set ("best fit"). Only
// characters that would change the segments of a path count. The result is 0 for every
// other r.
func lookalike(r rune) byte {
	switch r {
	case '\uff0f', // fullwidth solidus
		'\u2044', '\u2215', '\u29f8', // fraction slash, division slash, big solidus
		'\u2100', '\u2101', '\u2105', '\u2106': // a/c, a/s, c/o, c/u
		return '/'
	case '\uff3c', '\ufe68', // fullwidth and small reverse solidus
		'\u2216', '\u29f5', '\u29f9': // set minus, reverse solidus operator, big reverse solidus
		return '\\'
	case '\uff0e', '\ufe52', '\u2024': // fullwidth and small full stop, one dot leader
		return '.'
	case '\uff05', '\ufe6a': // fullwidth and small percent sign
		return '%'
	}
	return 0
}

// isDots reports whether a program on the way may read the segment as ".", ".." or an
// empty one: it consists of dots and of characters that are dropped at the end of names
// or by normalization, up to its end or to a character at which a parser may cut it.
func isDots(segment string) bool {
	dots := false
	for _, r := range segment {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9': // nearly always
			return false
		case r == ';':
			return true
		case isCut(r):
			return dots
		case isDot(r), unicode.IsSpace(r), isIgnored(r):
			dots = true
		default:
			return false
		}
	}
	return true
}

// isDot reports a full stop and the characters that NFKC maps to several of them.
func isDot(r rune) bool {
	switch r {
	case '.', '\u2025', '\u2026', '\ufe19', '\ufe30': // two dot leader, ellipsis, and their vertical forms
		return true
	}
	return false
}

// isCut reports a character that ends a path once it is decoded, and what NFKC maps to it
// or to ";".
func isCut(r rune) bool {
	switch r {
	case '?', '\uff1f', '\ufe56', '\ufe16', '\u2047', '\u2048',
		'#', '\uff03', '\ufe5f',
		'\uff1b', '\ufe54', '\ufe14', '\u037e':
		return true
	}
	return false
}

// isIgnored reports a character that has no width, so that some programs delete it from
// names.
func isIgnored(r rune) bool {
	return r > unicode.MaxASCII && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}
