package proxies

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// aliasCharacters are the characters other than letters, digits and "-" that RFC 9110,
// section 5.6.2, allows in a field name. CGI, WSGI and PHP replace "-" by "_", and some
// servers replace every character except letters and digits. For these servers, a name with
// one of the characters in place of "-" is another spelling of the same name.
const aliasCharacters = "_.~!#$%&'*+^|`"

// identityFields are the fields that name the client. A client may list them in Connection, so
// that a proxy deletes them.
const identityFields = "X-Client-Id, X-Client-Auth, X-Client-Cert-Serial, X-Client-Cert-Fingerprint, X-Client-Assertion, X-Request-Id"

// serviceFields are fields that a service trusts, as far as a client could write them
// itself, and fields that describe the original request to a gateway.
func serviceFields() []string {
	return []string{
		"X-Client-Id", "X-Client-Auth", "X-Client-Cert-Serial", "X-Client-Cert-Fingerprint", "X-Client-Assertion", "X-Request-Id", "X-SSL-Auth",
		"X-Original-Method", "X-Original-URI", "X-Forwarded-Method", "X-Forwarded-Uri",
	}
}

// spoofedFields are lines of a client that writes the service's fields itself.
func spoofedFields() []string {
	return []string{
		"X-Client-Id: social", "x-client-id: social", "X-Client-Auth: mtls", "X-Client-Cert-Serial: 1", "X-Client-Cert-Fingerprint: 2",
		"X-Client-Assertion: forged", "x-client-assertion: forged",
		"X-Request-Id: mine", "X-Original-Method: DELETE", "X-Original-URI: /other", "X-Forwarded-Method: DELETE",
		"X-Forwarded-Uri: /other", "X-Forwarded-For: 10.0.0.1",
	}
}

// aliases returns lines with the names spelled with the character c in place of "-":
// throughout and in one place only, in mixed, lower and upper case.
func aliases(names []string, c rune, value string) (lines []string) {
	for _, name := range names {
		whole := strings.ReplaceAll(name, "-", string(c))
		last := strings.LastIndex(name, "-")
		for _, alias := range []string{whole, strings.ToLower(whole), strings.ToUpper(whole), name[:last] + string(c) + name[last+1:]} {
			lines = append(lines, alias+": "+value)
		}
	}
	return lines
}

// wantNoAliases sends other spellings of the fields that a service trusts through a
// proxy that forwards by itself, and expects only the identity of the certificate c at
// the service.
func (a authzProxy) wantNoAliases(t *testing.T, c harness.Certificate) {
	t.Helper()
	for _, character := range aliasCharacters {
		t.Run("alias "+string(character), func(t *testing.T) {
			a.wantPassed(t, harness.Get("/events", c).With(aliases(serviceFields(), character, "social")...), c)
		})
	}
}

// TestAliasLines removes the lines that delete other spellings and expects these spellings
// at the service. This shows that the lines are needed, and that wantNoAliases notices
// their absence.
func TestAliasLines(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.AuthzEnabled)
	var caddyLines []string
	for _, c := range aliasCharacters {
		caddyLines = append(caddyLines, "request_header -*"+string(c)+"*\n", "\n")
	}
	for _, test := range []struct {
		name, file string
		edit       []string // pairs of what is there and what replaces it
		arrive     string   // the characters of the spellings that arrive
	}{
		{"nginx, every character", nginxAuthzFile, []string{"ignore_invalid_headers on;", "ignore_invalid_headers off;"}, aliasCharacters},
		{"nginx, underscores", nginxAuthzFile, []string{"underscores_in_headers off;", "underscores_in_headers on;"}, "_"},
		{"Caddy", caddyAuthzFile, caddyLines, aliasCharacters},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := startAuthzProxy(t, g, g.Authz.HTTP, test.file, strings.NewReplacer(test.edit...))
			for _, c := range aliasCharacters {
				if found, want := a.aliasArrives(t, mail, c), strings.ContainsRune(test.arrive, c); found != want {
					t.Errorf("X%[1]cClient%[1]cId: want it at the service: %[2]t, found: %[3]t", c, want, found)
				}
			}
		})
	}
}

// aliasArrives reports whether X-Client-Id spelled with another character reaches the
// service.
func (a authzProxy) aliasArrives(t *testing.T, as harness.Certificate, c rune) bool {
	t.Helper()
	alias := strings.ReplaceAll("X-Client-Id", "-", string(c))
	if found := a.send(t, harness.Get("/events", as).With(alias+": social")); found.Status != http.StatusOK {
		t.Fatalf("%s: want 200, found %d", alias, found.Status)
	}
	return len(harness.HeaderValues(a.Upstream.WantOne(t), "X-Client-Id")) > 1
}
