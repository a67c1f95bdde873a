package syntax_test

import (
	"net/textproto"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// TestEachByte checks every byte at every place of a word of eight bytes and after it.
func TestEachByte(t *testing.T) {
	for b := range 256 {
		for at := range 20 {
			s := strings.Repeat("x", at) + string([]byte{byte(b)}) + strings.Repeat("y", 20-at)
			check(t, s)
		}
	}
}

func FuzzSyntax(f *testing.F) {
	for _, s := range []string{"", "X-Forwarded-For", "x-forwarded-for", "a b", "\t", " a ", "x\x00", "\x7f", "\u00e9", "-a--b-", "X_y"} {
		f.Add(s)
	}
	f.Fuzz(check)
}

// check compares the functions with those that net/http uses.
func check(t *testing.T, s string) {
	t.Helper()
	if have, want := syntax.IsFieldValue(s), httpguts.ValidHeaderFieldValue(s); have != want {
		t.Errorf("IsFieldValue(%q) is %v, want %v", s, have, want)
	}
	printable := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	if have := syntax.IsPrintable(s); have != printable {
		t.Errorf("IsPrintable(%q) is %v, want %v", s, have, printable)
	}
	if name, ok := syntax.CanonicalName(s); name != textproto.CanonicalMIMEHeaderKey(s) || ok != httpguts.ValidHeaderFieldName(s) {
		t.Errorf("CanonicalName(%q) is %q, %v", s, name, ok)
	}
}

// TestCanonicalNameOfProxies: names in lower case have the same canonical form as in net/http.
func TestCanonicalNameOfProxies(t *testing.T) {
	for _, name := range []string{"x-forwarded-for", "X-FORWARDED-FOR", "x-ssl-auth", "signature-input", "content-length", "x-unknown"} {
		if have, ok := syntax.CanonicalName(name); !ok || have != textproto.CanonicalMIMEHeaderKey(name) {
			t.Errorf("CanonicalName(%q) is %q, %v", name, have, ok)
		}
	}
}
