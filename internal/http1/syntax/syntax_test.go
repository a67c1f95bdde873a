package syntax_test

import (
	"net/textproto"
	"regexp"
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
	checkCutField(t, s)
	checkCutField(t, "x: "+s+" \r\nY:")
	checkScanner(t, s)
	checkScanner(t, s+"\r\nx\r\n\r\ny")
}

// fieldLine is a field line with its end, and what follows.
var fieldLine = regexp.MustCompile("(?s)^([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*(|[^\x00-\x20\x7f]|[^\x00-\x20\x7f][^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])[ \t]*\r\n(.*)$")

func checkCutField(t *testing.T, s string) {
	t.Helper()
	name, value, rest, ok := syntax.CutField(s)
	want := fieldLine.FindStringSubmatch(s)
	if ok != (want != nil) {
		t.Errorf("CutField(%q) accepts the field: %v", s, ok)
	}
	if ok && want != nil && (name != textproto.CanonicalMIMEHeaderKey(want[1]) || value != want[2] || rest != want[3]) {
		t.Errorf("CutField(%q) is %q, %q, %q", s, name, value, rest)
	}
}

// A header without bare line feeds, and a bare line feed.
var (
	wholeHead = regexp.MustCompile("^[^\n]*\r\n(?:[^\n]+\r\n)*?\r\n")
	bareFeed  = regexp.MustCompile("(?:^|[^\r])\n")
)

// checkScanner scans s when it arrives at once, and in up to 20 parts.
func checkScanner(t *testing.T, s string) {
	t.Helper()
	head := wholeHead.FindString(s)
	wantHead := head != "" || !bareFeed.MatchString(s)
	line := s[:strings.IndexByte(s, '\n')+1]
	wantLine := line == "" || strings.HasSuffix(line, "\r\n")
	for _, size := range []int{len(s)/20 + 1, len(s) + 1} {
		var heads, lines syntax.Scanner
		if end, ok := scan(s, size, heads.Head); ok != wantHead || ok && end != len(head) {
			t.Errorf("Head(%q) in parts of %d bytes is %d, %v; want %q, %v", s, size, end, ok, head, wantHead)
		}
		longest := s[heads.Longest.Start:heads.Longest.End]
		for content := range strings.SplitSeq(head, "\r\n") {
			if len(longest) < len(content) || head != "" && !strings.Contains("\r\n"+head, "\r\n"+longest+"\r\n") {
				t.Errorf("the longest line of %q is %q, but it has %q", head, longest, content)
			}
		}
		if end, ok := scan(s, size, lines.Line); ok != wantLine || ok && end != len(line) {
			t.Errorf("Line(%q) in parts of %d bytes is %d, %v; want %q, %v", s, size, end, ok, line, wantLine)
		}
	}
}

// scan calls find each time that size bytes of s have arrived, until there is a result.
func scan(s string, size int, find func([]byte) (end int, ok bool)) (end int, ok bool) {
	for n := min(size, len(s)); ; n = min(n+size, len(s)) {
		if end, ok = find([]byte(s[:n])); end > 0 || !ok || n == len(s) {
			return end, ok
		}
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
