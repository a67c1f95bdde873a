package identity_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
)

func TestCheckName(t *testing.T) {
	const (
		valid     = ""
		length    = "want 1 to 64 characters"
		alphabet  = "want only ASCII letters"
		beginning = "want a letter or digit at the beginning"
		end       = "want a letter or digit at the end"
		spaces    = "want single spaces"
	)
	tests := []struct {
		name  string
		input string
		want  string
	}{
		{"the articles' clients", "web-client", valid},
		{"one character", "a", valid},
		{"one digit", "7", valid},
		{"every inner character", "a.b_c-d:e@f/g+h i", valid},
		{"upper case", "Mail", valid},
		{"64 characters", strings.Repeat("a", 64), valid},
		{"single spaces, several", "a b c d", valid},
		{"punctuation in a row", "a..b", valid},
		{"space beside punctuation", "a - b", valid},

		{"empty", "", length + ", found 0"},
		{"65 characters", strings.Repeat("a", 65), length + ", found 65"},
		{"the wildcard of the rules", "*", alphabet + ", digits and inner . _ - : @ / + or single spaces, found '*'"},
		{"umlaut", "schränke", alphabet},
		{"Cyrillic letter that looks like an a", "m\u0430il", alphabet},
		{"full-width letters", "ｍail", alphabet},
		{"combining accent", "mai\u0301l", alphabet},
		{"Arabic digit", "mail\u0661", alphabet},
		{"zero width space", "ma\u200bil", alphabet},
		{"no-break space", "a\u00a0b", alphabet},
		{"not UTF-8", "ma\xffil", alphabet},
		{"newline, which would start a header", "mail\nX-Admin: 1", alphabet},
		{"carriage return", "mail\r", alphabet},
		{"tab", "ma\til", alphabet},
		{"NUL", "mail\x00", alphabet},
		{"delete", "mail\x7f", alphabet},
		{"comma, which would make a header a list", "mail,social", alphabet},
		{"semicolon", "mail;q", alphabet},
		{"quote", `mail"`, alphabet},
		{"backslash", `a\b`, alphabet},
		{"equals sign", "ou=mail", alphabet},
		{"leading space", " mail", beginning},
		{"leading dot", ".mail", beginning},
		{"leading slash", "/mail", beginning},
		{"leading hyphen, a flag on a command line", "-mail", beginning},
		{"only a space", " ", beginning},
		{"trailing space", "mail ", end},
		{"trailing dot", "mail.", end},
		{"trailing plus", "mail+", end},
		{"two spaces", "a  b", spaces},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := identity.OU.CheckName(tt.input)
			switch {
			case tt.want == valid && err != nil:
				t.Errorf("CheckName(%q) = %v, want no error", tt.input, err)
			case tt.want != valid && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("CheckName(%q) = %v, want %q", tt.input, err, tt.want)
			}
		})
	}
}

// FuzzCheckName checks the properties that other packages rely on: a valid name is short,
// printable ASCII and can be a header value.
func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"mail", "a b", "a  b", " mail", "mail\n", "", "ｍail", "a:b@c/d+e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if identity.OU.CheckName(name) != nil {
			return
		}
		if len(name) < 1 || len(name) > 64 {
			t.Errorf("%q: accepted with %d bytes", name, len(name))
		}
		if strings.TrimSpace(name) != name {
			t.Errorf("%q: accepted with outer spaces", name)
		}
		for i := range len(name) {
			if name[i] < ' ' || name[i] > '~' || strings.IndexByte("*,;\"'\\=<>", name[i]) >= 0 {
				t.Errorf("%q: accepted with %q", name, name[i])
			}
		}
	})
}
