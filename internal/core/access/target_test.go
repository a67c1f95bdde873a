package access_test

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
)

func TestParseTarget(t *testing.T) {
	const (
		accepted  = ""
		segment   = "want no segment such as"
		rawPath   = "in the path"
		rawQuery  = "in the query"
		hex       = "two hex digits"
		escaped   = "want no percent-encoded"
		utf8Only  = "that are UTF-8"
		control   = "control character"
		lookalike = "want no character that can be taken for"
		twice     = "decoded once: want no percent-encoded"
		origin    = `want a "/" at the beginning`
	)
	tests := []struct {
		raw  string
		want string
		why  string
	}{
		{"/", accepted, "the root"},
		{"/events", accepted, "a path"},
		{"/events/", accepted, "a slash at the end is another resource, but only one"},
		{"/events?after=2013-08-01", accepted, "a query"},
		{"/events?", accepted, "an empty query is kept as it is"},
		{"/events?a=b?c", accepted, "a query may contain question marks"},
		{"/events?next=/../%2e%2e//", accepted, "dot segments in a query"},
		{"/events?100%", accepted, "an invalid escape in a query"},
		{"/events?q=\xc3\xa9", accepted, "raw UTF-8 in a query"},
		{"/events/a.b", accepted, "a dot inside a name"},
		{"/.well-known/acme", accepted, "a name that begins with a dot"},
		{"/a..b", accepted, "two dots inside a name"},
		{"/events;v=1", accepted, "path parameters after a name"},
		{"/events;..", accepted, "parameters of dots"},
		{"/a%20b", accepted, "an encoded space"},
		{"/100%25", accepted, "an encoded percent sign that begins no escape"},
		{"/100%25%20", accepted, "an encoded percent sign before an escape"},
		{"/a%2520b", accepted, "a doubly encoded space means no more than a space"},
		{"/caf%C3%A9", accepted, "UTF-8, encoded"},
		{"/caf%c3%a9", accepted, "hex digits in either case"},
		{"/a%3Fb", accepted, "an encoded question mark begins no query"},
		{"/a:b@c!$&'()*+,=~_-", accepted, "every other character of RFC 3986"},
		{"/" + strings.Repeat("a", 8191), accepted, "8 KiB"},

		{"/" + strings.Repeat("a", 8192), "want at most 8192 bytes", "8 KiB and one byte"},
		{"", origin, "empty"},
		{"*", origin, "the asterisk form of OPTIONS"},
		{"events", origin, "a relative path"},
		{"http://schedule/events", origin, "the absolute form"},
		{"schedule:80", origin, "the authority form of CONNECT"},
		{"?a=b", origin, "only a query"},

		{"//", segment, "an empty segment"},
		{"//events", segment, "an authority to URL parsers"},
		{"/a//b", segment, "an empty segment, merged by nginx"},
		{"/events//", segment, "two slashes at the end"},
		{"/.", segment, "dot segment"},
		{"/..", segment, "parent directory"},
		{"/./", segment, "dot segment with a slash"},
		{"/a/../admin", segment, "parent directory in the middle"},
		{"/a/..?b", segment, "parent directory before a query"},
		{"/a/..;/admin", segment, "Tomcat drops parameters"},
		{"/a/..;x=1/admin", segment, "the same with a parameter"},
		{"/a/.;/admin", segment, "the same with one dot"},
		{"/a/..%3b/admin", segment, "the same, encoded"},
		{"/;x/admin", segment, "an empty segment once the parameters are dropped"},
		{"/a/;", segment, "the same at the end"},
		{"/a/...", segment, "Windows takes some dots for two"},
		{"/a/..%20/admin", segment, "Windows drops spaces at the end of a name"},
		{"/%20", segment, "a name that Windows drops"},

		{"/a b", rawPath, "a space would end the target"},
		{"/a\tb", rawPath, "a tab"},
		{"/a\r\nX-Admin: 1", rawPath, "a line break"},
		{"/a\x00b", rawPath, "NUL ends the path in C"},
		{"/a\x7f", rawPath, "delete"},
		{"/caf\xc3\xa9", rawPath, "raw bytes outside ASCII"},
		{"/a\xff", rawPath, "raw bytes that are not UTF-8"},
		{`/a\..\admin`, rawPath, "backslashes are slashes on Windows and in browsers"},
		{"/a#b", rawPath, "a fragment"},
		{"/a?b c", rawQuery, "a space in the query"},
		{"/a?b\r\nc", rawQuery, "a line break in the query"},
		{"/a?b\x7f", rawQuery, "delete in the query"},
		{"/a?b#c", rawQuery, "a fragment after the query"},

		{"/%", hex, "a lone percent sign"},
		{"/a%2", hex, "a cut escape"},
		{"/a%zz", hex, "no hex digits"},
		{"/a%u002f", hex, "an escape of IIS"},
		{"/a%2fb", escaped, "an encoded slash"},
		{"/a%2Fb", escaped, "the same in capitals"},
		{"/a%5cb", escaped, "an encoded backslash"},
		{"/%2e%2e/admin", escaped, "encoded dots"},
		{"/.%2e/admin", escaped, "half encoded dots"},
		{"/a%2eb", escaped, "an encoded dot inside a name"},
		{"/a%00", control, "an encoded NUL"},
		{"/a%0d%0aX-Admin:1", control, "an encoded line break"},
		{"/a%7f", control, "an encoded delete"},
		{"/a%c2%85", control, "an encoded control character beyond ASCII"},
		{"/%c0%af", utf8Only, "an overlong slash"},
		{"/%c0%ae%c0%ae/admin", utf8Only, "overlong dots"},
		{"/%e0%80%af", utf8Only, "a longer overlong slash"},
		{"/%ff", utf8Only, "not UTF-8"},
		{"/%c3%25a9", "want percent-encoded bytes that are UTF-8 in request target", "not UTF-8 after it is decoded twice"},
		{"/%ed%a0%80", utf8Only, "half a surrogate pair"},

		{"/..%23", segment, "an encoded fragment after dots, for a program that parses the decoded path again"},
		{"/a/..%23b/admin", segment, "the same in the middle"},
		{"/a/..%3f", segment, "an encoded query after dots"},
		{"/a/.%3Fx", segment, "the same after one dot"},
		{"/a/..%20%23", segment, "the same after a space"},
		{"/a/..%2523", segment, "the same, decoded twice"},
		{"/a/..%2520", segment, "a space after dots, decoded twice"},
		{"/a/..%253b", segment, "parameters after dots, decoded twice"},
		{"/a/..%ef%bc%83", segment, "a fullwidth number sign after dots"},
		{"/a/..%ef%bc%9f", segment, "a fullwidth question mark after dots"},
		{"/a/..%ef%bc%9bx", segment, "a fullwidth semicolon after dots"},
		{"/a/%e2%80%a5/admin", segment, "a two dot leader"},
		{"/a/%e2%80%a6", segment, "an ellipsis"},
		{"/a/..%e2%80%8b/admin", segment, "a zero width space after dots"},
		{"/a/..%c2%ad/admin", segment, "a soft hyphen after dots"},
		{"/a/..%ef%b8%8f/admin", segment, "a variation selector after dots"},
		{"/a/..%c2%a0/admin", segment, "a no-break space after dots"},
		{"/a/..%e3%80%80/admin", segment, "an ideographic space after dots"},
		{"/a/%e2%80%8b/admin", segment, "only a zero width space"},
		{"/tags/%23golang", accepted, "an encoded number sign before a name"},
		{"/faq/who%3f", accepted, "an encoded question mark after a name"},
		{"/faq/%e8%aa%b0%ef%bc%9f", accepted, "a fullwidth question mark after a name"},
		{"/a/more%e2%80%a6", accepted, "an ellipsis after a name"},
		{"/a/..b%23", accepted, "dots and more before a number sign"},

		{"/%ef%bc%8e%ef%bc%8e/admin", lookalike, "fullwidth dots"},
		{"/a%ef%bc%8eb", lookalike, "a fullwidth dot anywhere, as an encoded dot"},
		{"/..%ef%bc%8fadmin", lookalike, "a fullwidth slash"},
		{"/a%ef%bc%bcb", lookalike, "a fullwidth backslash"},
		{"/%e2%80%a4%e2%80%a4/admin", lookalike, "one dot leaders"},
		{"/%ef%b9%92%ef%b9%92/admin", lookalike, "small full stops"},
		{"/a%ef%b9%a8b", lookalike, "a small reverse solidus"},
		{"/a%e2%81%84b", lookalike, "a fraction slash"},
		{"/a%e2%88%95b", lookalike, "a division slash"},
		{"/a%e2%88%96b", lookalike, "a set minus"},
		{"/a%e2%84%85b", lookalike, "care of, which is three characters to NFKC"},
		{"/a%ef%bc%852e", lookalike, "a fullwidth percent sign"},
		{"/a%25ef%25bc%258e", lookalike, "a fullwidth dot, decoded twice"},
		{"/%e0%80%ae%e0%80%ae/admin", utf8Only, "overlong dots of three bytes"},
		{"/%f0%80%80%af", utf8Only, "an overlong slash of four bytes"},

		{"/a%252fb", twice, "a slash, decoded twice"},
		{"/a%255cb", twice, "a backslash, decoded twice"},
		{"/%252e%252e/admin", twice, "dots, decoded twice"},
		{"/%25%32%65%25%32%65/admin", twice, "the same with the digits encoded too"},
		{"/a%2500", control, "NUL, decoded twice"},
		{"/a%251f", control, "a control character, decoded twice"},
		{"/a%257f", control, "delete, decoded twice"},
		{"/a%25c0%25af", utf8Only, "an overlong slash, decoded twice"},
		{"/a%2525", twice, "the beginning of a third encoding"},
		{"/a%25252fb", twice, "a slash, decoded three times"},
		{"/a%25%2532f", "decoded twice: want no percent escape", "the same, cut differently"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			target, err := access.ParseTarget(tt.raw)
			if tt.want == accepted {
				if err != nil || target.String() != tt.raw {
					t.Errorf("ParseTarget(%.60q) = %.60q, %v; want it accepted as it is", tt.raw, target, err)
				}
				return
			}
			refused := refusal.Of(err)
			if refused == nil || refused.Reason != refusal.PathAmbiguous || !strings.Contains(refused.Detail, tt.want) {
				t.Errorf("ParseTarget(%.60q) = %v; want %s with %q", tt.raw, err, refusal.PathAmbiguous, tt.want)
			}
			if target != (access.Target{}) {
				t.Errorf("want no target with a refusal, found %.60q", target)
			}
		})
	}
}

func TestTargetParts(t *testing.T) {
	tests := []struct{ raw, path, query string }{
		{"/events", "/events", ""},
		{"/events?", "/events", ""},
		{"/events?a=1&b=%zz", "/events", "a=1&b=%zz"},
		{"/a%20b/?x?y", "/a%20b/", "x?y"},
	}
	for _, tt := range tests {
		target, err := access.ParseTarget(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		if target.Path() != tt.path || queryOf(target) != tt.query {
			t.Errorf("%q: path %q, query %q; want %q, %q", tt.raw, target.Path(), queryOf(target), tt.path, tt.query)
		}
	}
	var zero access.Target
	if zero.Path() != "" || queryOf(zero) != "" || zero.String() != "" {
		t.Errorf("want a zero Target without parts")
	}
}

// FuzzParseTarget checks that an accepted target is not changed, and that a program that
// decodes it, cleans it or decodes it twice sees the same path.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{
		"/", "/events?x=1", "/a/../b", "/a//b", "/a%2fb", "/a%252fb", "/..;x/", "/%c0%af", "/a%20b/", "/%25%32%66", "/a%25%2532f", "/caf%C3%A9",
		"/..%23", "/a/..%3f", "/%ef%bc%8e", "/a/%e2%80%a5", "/a%2523",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := access.ParseTarget(raw)
		if err != nil {
			if refusal.Of(err) == nil {
				t.Fatalf("%q: %v, want a refusal", raw, err)
			}
			return
		}
		if target.String() != raw {
			t.Fatalf("%q became %q", raw, target)
		}
		checkOneReading(t, target)
	})
}

func queryOf(t access.Target) string { return strings.TrimPrefix(t.String()[len(t.Path()):], "?") }

// widthless replaces some fullwidth characters as NFKC does.
var widthless = strings.NewReplacer("．", ".", "／", "/", "＼", "/", "？", "?", "＃", "#", "‥", "..", "․", ".")

// checkOneReading compares the target with the results of net/url and path, which share
// no code with this package.
func checkOneReading(t *testing.T, target access.Target) {
	t.Helper()
	parsed, err := url.ParseRequestURI(target.String())
	if err != nil {
		t.Fatalf("net/url refuses %q: %v", target, err)
	}
	if parsed.RawQuery != queryOf(target) || parsed.Host != "" || parsed.Fragment != "" {
		t.Fatalf("net/url reads %q as %#v", target, parsed)
	}
	decoded := target.Path()
	for range 2 {
		if decoded, err = url.PathUnescape(decoded); err != nil {
			return // the decoder fails: no other interpretation
		}
		if clean := path.Clean(decoded); clean != decoded && clean+"/" != decoded {
			t.Fatalf("%q decodes to %q, which cleans to %q", target, decoded, clean)
		}
		cut, _, _ := strings.Cut(strings.ReplaceAll(widthless.Replace(decoded), "?", "#"), "#")
		if clean := path.Clean(cut); clean != cut && clean+"/" != cut {
			t.Fatalf("%q decodes to %q, which a program may read as %q", target, decoded, clean)
		}
		if !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, unicode.IsControl) || strings.Contains(decoded, `\`) {
			t.Fatalf("%q decodes to %q", target, decoded)
		}
		if strings.Count(decoded, "/") != strings.Count(target.Path(), "/") {
			t.Fatalf("%q decodes to other segments: %q", target, decoded)
		}
	}
}
