package identity_test

import (
	"net/mail"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
)

func TestCheckNameOfEverySource(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct {
		source identity.Source
		name   string
		input  string
		want   string // the beginning of the error; "" for a valid name
	}{
		{identity.CN, "name", "web-client", ""},
		{identity.CN, "65 characters", long(65), "want 1 to 64 characters"},
		{identity.CN, "wildcard", "*", "want only ASCII letters"},

		{identity.URI, "SPIFFE ID", "spiffe://example.org/ns/default/sa/mail", ""},
		{identity.URI, "SPIFFE ID with capitals in its path", "spiffe://example.org/Mail", ""},
		{identity.URI, "URN", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", ""},
		{identity.URI, "https", "https://partner.example/clients/mail", ""},
		{identity.URI, "port", "https://partner.example:8443/mail", ""},
		{identity.URI, "slash at the end", "https://partner.example/", ""},
		{identity.URI, "host only", "https://partner.example", ""},
		{identity.URI, "255 characters", "urn:" + long(251), ""},
		{identity.URI, "256 characters", "urn:" + long(252), "want 1 to 255 characters, found 256"},
		{identity.URI, "a megabyte", "urn:" + long(1<<20), "want 1 to 255 characters"},
		{identity.URI, "empty", "", "want 1 to 255 characters, found 0"},
		{identity.URI, "relative", "mail", "want an absolute URI"},
		{identity.URI, "path only", "/mail", "want an absolute URI"},
		{identity.URI, "without scheme", "//example.org/mail", "want an absolute URI"},
		{identity.URI, "scheme only", "urn:", "want an absolute URI"},
		{identity.URI, "empty scheme", ":mail", "want a scheme"},
		{identity.URI, "scheme in capitals", "SPIFFE://example.org/mail", "want a scheme of lower-case"},
		{identity.URI, "scheme with one capital", "httpS://example.org/mail", "want a scheme of lower-case"},
		{identity.URI, "scheme that begins with a digit", "1a:mail", "want a scheme"},
		{identity.URI, "SPIFFE without path", "spiffe://example.org", "want a SPIFFE ID with a path"},
		{identity.URI, "SPIFFE without authority", "spiffe:mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with slash at the end", "spiffe://example.org/mail/", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with empty segment", "spiffe://example.org//mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with dot segment", "spiffe://example.org/a/../mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with trust domain in capitals", "spiffe://Example.org/mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with port", "spiffe://example.org:1/mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with user", "spiffe://a@example.org/mail", "want a SPIFFE ID: "},
		{identity.URI, "SPIFFE with a character for other URIs", "spiffe://example.org/a+b", "want a SPIFFE ID: "},
		{identity.URI, "host in capitals", "https://Partner.example/mail", "the host: want only lower-case"},
		{identity.URI, "no host", "https:///mail", "the host: want 1 to"},
		{identity.URI, "no host and no path", "https://", "want a host after //"},
		{identity.URI, "host with a dot at the end", "https://partner.example./mail", "the host: want labels"},
		{identity.URI, "IPv4 address", "https://192.0.2.1/mail", "the host: want a host name whose last label is not a number"},
		{identity.URI, "IPv6 address", "https://[2001:db8::1]/mail", "want only ASCII letters"},
		{identity.URI, "user", "https://partner.example@other.example/mail", "want a URI without user information"},
		{identity.URI, "user and password", "https://a:b@other.example/mail", "want a URI without user information"},
		{identity.URI, "empty port", "https://partner.example:/mail", "want a port"},
		{identity.URI, "port 0", "https://partner.example:0/mail", "want a port"},
		{identity.URI, "port with a zero before it", "https://partner.example:0443/mail", "want a port"},
		{identity.URI, "port too large", "https://partner.example:65536/mail", "want a port"},
		{identity.URI, "port with a sign", "https://partner.example:+443/mail", "want a port"},
		{identity.URI, "query", "https://partner.example/mail?a=b", "want only ASCII letters"},
		{identity.URI, "fragment", "https://partner.example/mail#a", "want only ASCII letters"},
		{identity.URI, "percent-encoding", "https://partner.example/m%61il", "want only ASCII letters"},
		{identity.URI, "encoded slash", "https://partner.example/a%2Fb", "want only ASCII letters"},
		{identity.URI, "dot segment", "https://partner.example/a/../b", "want a path without dot segments"},
		{identity.URI, "dot segment at the end", "https://partner.example/a/.", "want a path without dot segments"},
		{identity.URI, "dot segment without authority", "urn:../b", "want a path without dot segments"},
		{identity.URI, "empty segment", "https://partner.example/a//b", "want a path without empty segments"},
		{identity.URI, "comma", "urn:a,b", "want only ASCII letters"},
		{identity.URI, "wildcard", "spiffe://example.org/*", "want only ASCII letters"},
		{identity.URI, "space", "urn:a b", "want only ASCII letters"},
		{identity.URI, "space at the end", "urn:a ", "want only ASCII letters"},
		{identity.URI, "NUL", "urn:a\x00", "want only ASCII letters"},
		{identity.URI, "newline", "urn:a\nX-Admin: 1", "want only ASCII letters"},
		{identity.URI, "umlaut", "urn:\u00e4", "want only ASCII letters"},
		{identity.URI, "not UTF-8", "urn:\xff", "want only ASCII letters"},

		{identity.DNS, "host name", "mail.example.org", ""},
		{identity.DNS, "one label", "mail", ""},
		{identity.DNS, "digit at the beginning", "3mail.example.org", ""},
		{identity.DNS, "encoded international name", "xn--bcher-kva.example", ""},
		{identity.DNS, "labels of 63 characters", long(63) + ".a", ""},
		{identity.DNS, "253 characters", strings.Repeat(long(62)+".", 4) + "a", ""},
		{identity.DNS, "254 characters", strings.Repeat(long(62)+".", 4) + "ab", "want 1 to 253 characters, found 254"},
		{identity.DNS, "label of 64 characters", long(64) + ".a", "want labels of 1 to 63 characters"},
		{identity.DNS, "empty", "", "want 1 to 253 characters"},
		{identity.DNS, "capitals", "Mail.example.org", "want only lower-case"},
		{identity.DNS, "wildcard", "*.example.org", "want only lower-case"},
		{identity.DNS, "dot at the end", "mail.example.org.", "want labels of 1 to 63 characters"},
		{identity.DNS, "dot at the beginning", ".example.org", "want labels of 1 to 63 characters"},
		{identity.DNS, "only a dot", ".", "want labels of 1 to 63 characters"},
		{identity.DNS, "two dots", "a..b", "want labels of 1 to 63 characters"},
		{identity.DNS, "hyphen at the beginning", "-mail.example.org", "want a letter or digit at both ends"},
		{identity.DNS, "hyphen at the end of a label", "mail-.example.org", "want a letter or digit at both ends"},
		{identity.DNS, "underscore", "a_b.example.org", "want only lower-case"},
		{identity.DNS, "IPv4 address", "192.0.2.1", "want a host name whose last label is not a number"},
		{identity.DNS, "number", "123", "want a host name whose last label is not a number"},
		{identity.DNS, "port", "mail.example.org:443", "want only lower-case"},
		{identity.DNS, "international name", "b\u00fccher.example", "want only lower-case"},
		{identity.DNS, "Kelvin sign, whose lower case is k", "\u212aaa", "want only lower-case"},
		{identity.DNS, "ideographic full stop", "mail\u3002example", "want only lower-case"},
		{identity.DNS, "NUL", "mail.example.org\x00.other.example", "want only lower-case"},
		{identity.DNS, "space at the end", "mail ", "want only lower-case"},

		{identity.Email, "address", "mail@example.org", ""},
		{identity.Email, "capitals before the @", "First.Last@example.org", ""},
		{identity.Email, "every inner character", "a.b_c-d+e=f@example.org", ""},
		{identity.Email, "64 characters before the @", long(64) + "@a", ""},
		{identity.Email, "65 characters before the @", long(65) + "@a", "want 1 to 64 characters before the @"},
		{identity.Email, "254 characters", "a@" + strings.Repeat(long(62)+".", 4), "after the @: want labels"},
		{identity.Email, "255 characters", "abc@" + strings.Repeat(long(62)+".", 3) + long(62), "want 1 to 254 characters"},
		{identity.Email, "empty", "", "want 1 to 254 characters"},
		{identity.Email, "no @", "mail", "want an email address, found no @"},
		{identity.Email, "nothing before the @", "@example.org", "want 1 to 64 characters before the @"},
		{identity.Email, "nothing after the @", "mail@", "after the @: want 1 to"},
		{identity.Email, "two @", "a@b@example.org", "after the @: want only lower-case"},
		{identity.Email, "host in capitals", "mail@Example.org", "after the @: want only lower-case"},
		{identity.Email, "quoted", `"a b"@example.org`, "want only ASCII letters"},
		{identity.Email, "comment", "mail(x)@example.org", "want only ASCII letters"},
		{identity.Email, "display name", "Mail <mail@example.org>", "want only ASCII letters"},
		{identity.Email, "address literal", "mail@[192.0.2.1]", "after the @: want only lower-case"},
		{identity.Email, "percent routing", "a%b@example.org", "want only ASCII letters"},
		{identity.Email, "two dots", "a..b@example.org", "want single dots"},
		{identity.Email, "dot at the end", "a.@example.org", "want a letter or digit at both ends"},
		{identity.Email, "comma", "a,b@example.org", "want only ASCII letters"},
		{identity.Email, "international", "m\u00e4il@example.org", "want only ASCII letters"},
		{identity.Email, "NUL", "mail\x00@example.org", "want only ASCII letters"},

		{"", "zero source", "mail", "want a known source"},
		{"OU", "source in capitals", "mail", "want a known source"},
	}
	for _, tt := range tests {
		t.Run(string(tt.source)+" "+tt.name, func(t *testing.T) {
			err := tt.source.CheckName(tt.input)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("CheckName(%q) = %v, want no error", tt.input, err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("CheckName(%.80q) = %v, want %q", tt.input, err, tt.want)
			}
		})
	}
}

func TestParseSource(t *testing.T) {
	for _, s := range identity.Sources() {
		if found, err := identity.ParseSource(string(s)); found != s || err != nil {
			t.Errorf("ParseSource(%q) = %q, %v; want itself", s, found, err)
		}
	}
	for _, text := range []string{"", "OU", " ou", "ou,cn", "spiffe", "*"} {
		if found, err := identity.ParseSource(text); found != "" || err == nil {
			t.Errorf("ParseSource(%q) = %q, want an error", text, found)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	tests := []struct {
		source identity.Source
		prefix string
		want   bool
	}{
		{identity.OU, "tenant-", true}, {identity.CN, "tenant/", true}, {identity.OU, "tenant ", true},
		{identity.OU, "", false}, {identity.OU, "-", false}, {identity.OU, "a,", false},
		{identity.URI, "spiffe://partner.example/", true}, {identity.URI, "spiffe://partner.example/ns/prod-", true},
		{identity.URI, "https://partner.example/", true}, {identity.URI, "urn:example:", true},
		{identity.URI, "spiffe://partner.example", false}, {identity.URI, "spiffe://", false}, {identity.URI, "spiffe", false},
		{identity.URI, "https://partner.example", false}, {identity.URI, "https://partner.example:8", false},
		{identity.URI, "https://Partner.example/", false}, {identity.URI, "", false},
		{identity.DNS, "mail.", true}, {identity.DNS, "Mail.", false}, {identity.DNS, ".", false},
		{identity.Email, "partner-", true}, {identity.Email, "mail@partner.", true}, {identity.Email, "a..", false},
		{"", "mail", false},
	}
	for _, tt := range tests {
		if err := tt.source.CheckPrefix(tt.prefix); (err == nil) != tt.want {
			t.Errorf("%s: CheckPrefix(%q) = %v, want valid: %v", tt.source, tt.prefix, err, tt.want)
		}
	}
}

// FuzzCheckNameOfEverySource checks the properties that other packages rely on: a valid
// name is short printable ASCII, is one element of a list, and has one meaning. A reader
// of the standard library finds the same parts in a URI and in an address.
func FuzzCheckNameOfEverySource(f *testing.F) {
	for _, seed := range []string{"mail", "spiffe://example.org/mail", "urn:a:b", "https://a.example:1/b", "a.example", "a+b@c.example", "https://a@b/", "urn:%61", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, s := range identity.Sources() {
			if s.CheckName(name) != nil {
				continue
			}
			if len(name) < 1 || len(name) > 255 || strings.TrimSpace(name) != name {
				t.Errorf("%s %q: accepted with %d bytes", s, name, len(name))
			}
			for i := range len(name) {
				if name[i] < ' ' || name[i] > '~' || strings.IndexByte("*,;\"'\\<>%?#", name[i]) >= 0 {
					t.Errorf("%s %q: accepted with %q", s, name, name[i])
				}
			}
			if name[0] == '@' {
				t.Errorf("%s %q: may be taken for a group", s, name)
			}
			checkMeaning(t, s, name)
		}
	})
}

func checkMeaning(t *testing.T, s identity.Source, name string) {
	t.Helper()
	switch s {
	case identity.URI:
		u, err := url.Parse(name)
		if err != nil || !u.IsAbs() || u.String() != name || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ToLower(u.Host) != u.Host {
			t.Errorf("URI %q: net/url reads %#v, %v", name, u, err)
		}
	case identity.DNS:
		if strings.ToLower(name) != name || strings.HasSuffix(name, ".") || !strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz-") {
			t.Errorf("DNS name %q accepted", name)
		}
	case identity.Email:
		if a, err := mail.ParseAddress(name); err != nil || a.Address != name {
			t.Errorf("email address %q: net/mail reads %v, %v", name, a, err)
		}
	}
}
