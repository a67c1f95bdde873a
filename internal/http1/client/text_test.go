package client

import (
	"strings"
	"testing"
)

// FuzzText: text is judged eight bytes at a time as it is byte by byte.
func FuzzText(f *testing.F) {
	for _, text := range []string{"", "a", "Content-Type", "content-type", "X-REQUEST-ID", "a b", "\t", "1234567\t", "1234567\x7f", "12345678\x00", "\x80\xff", "12345678901234567\n", "é\x1f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		if have := printable(text); have != want {
			t.Errorf("%q printable: %t, want %t", text, have, want)
		}
		if have, want := trim(text), strings.Trim(text, " \t"); have != want {
			t.Errorf("%q without space is %q, want %q", text, have, want)
		}
	})
}

// TestEveryByte: each byte, at each place of eight and behind them.
func TestEveryByte(t *testing.T) {
	for c := range 256 {
		for at := range 12 {
			text := strings.Repeat("x", at) + string([]byte{byte(c)}) + strings.Repeat("x", 11-at)
			if have, want := printable(text), c >= ' ' && c != 0x7f || c == '\t'; have != want {
				t.Errorf("byte %#x at %d is printable: %t, want %t", c, at, have, want)
			}
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
			if have, want := isToken(text), letter || c < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)); have != want {
				t.Errorf("byte %#x is of a token: %t, want %t", c, have, want)
			}
		}
	}
}
