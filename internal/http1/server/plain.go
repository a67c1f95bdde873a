//go:build linux

package server

import (
	"encoding/binary"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// printable reports whether all bytes are from space to tilde, eight at a time.
func printable(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		// A top bit shows in w itself, below a space in the difference, and 0x7f
		// is the one byte that the sum lifts to the top.
		if (w|(w-ones*' ')|(w+ones))&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func plainMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	default:
		return false
	}
}

// plainTarget: the origin form (RFC 9112, section 3.2.1), without what a parser
// could take for an authority or a fragment.
func plainTarget(t string) bool {
	return strings.HasPrefix(t, "/") && !strings.HasPrefix(t, "//") && !strings.Contains(t, "#")
}

// plainHost: a name or address with or without a port.
func plainHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return host != ""
}

// plainLength: decimal digits, written in the one shortest way.
func plainLength(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int64(n), err == nil && n <= maxBody && strconv.FormatUint(n, 10) == text
}

// canonical is the name as net/http writes it; false: it has more in it than
// letters, digits, '-' and '_'.
func canonical(name string) (string, bool) {
	upper, same := true, true
	for i := range len(name) {
		c := name[i]
		lower, capital := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
		if !lower && !capital && !('0' <= c && c <= '9') && c != '-' && c != '_' {
			return "", false
		}
		same = same && !(upper && lower) && !(!upper && capital)
		upper = c == '-'
	}
	if same {
		return name, name != ""
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}
