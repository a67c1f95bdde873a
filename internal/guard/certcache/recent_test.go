package certcache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/tool/pki"
)

// TestSamePlace checks that values in the same slot replace each other and are never mixed up.
func TestSamePlace(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	names := map[string]string{}
	middle := strings.Repeat("=", 100)
	for i, value := range []string{"mail" + middle, "post" + middle, "mail" + middle[1:] + "!", "mail", "", "m"} {
		names[value] = string(rune('a' + i))
	}
	id := certcache.New(known{names, o, verifier(t, o)})
	for range 5 {
		for value, name := range names {
			if found := id.Identify(claim(value), start); found.Client.Name() != name {
				t.Errorf("%.8q: want %q, found %q", value, name, found.Client.Name())
			}
		}
	}
}

// TestInTurn checks that two clients whose requests use one slot alternately are cached and not
// interned, and that a client is interned after two consecutive requests.
func TestInTurn(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	middle := strings.Repeat("=", 100)
	names := map[string]string{"mail" + middle: "mail", "post" + middle: "post"}
	id := certcache.New(known{names, o, verifier(t, o)})
	for range 5 {
		id.Identify(claim("mail"+middle), start)
		id.Identify(claim("post"+middle), start)
	}
	if n := id.Len(); n != len(names) {
		t.Errorf("%d cached, want %d", n, len(names))
	}
	for value := range names {
		if _, ok := id.Intern([]byte(value)); ok {
			t.Errorf("%.8q was interned", value)
		}
	}
	id.Identify(claim("mail"+middle), start)
	id.Identify(claim("mail"+middle), start)
	if _, ok := id.Intern([]byte("mail" + middle)); !ok {
		t.Error("a client with two requests in a row was not interned")
	}
}

// known accepts every value as a client of that name.
type known struct {
	names    map[string]string
	office   testCA
	verifier *trust.Verifier
}

func (k known) Identify(c gate.Claim, now time.Time) gate.Identification {
	cert := k.office.issue(k.names[c.Values[0]])
	return gate.Verification{Verifier: k.verifier, Names: identity.OU.Reader(), MaxCredentialBytes: limit}.Identify(claim(encode(cert)), now)
}

// TestIntern checks that only values that were verified and used again are interned, byte
// for byte.
func TestIntern(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	id := certcache.New(gate.Verification{Verifier: verifier(t, o), Names: identity.OU.Reader(), MaxCredentialBytes: limit})
	value := encode(o.issue("mail"))
	refused := encode(newTestCA(t, pki.P256, 24*time.Hour).issue("mail"))
	if _, ok := id.Intern([]byte(value)); ok {
		t.Error("a value that was never verified was interned")
	}
	for range 3 {
		id.Identify(claim(value), start)
		id.Identify(claim(refused), start)
	}
	if found, ok := id.Intern([]byte(value)); !ok || found != value {
		t.Errorf("found %.20q, %t: want the value", found, ok)
	}
	for name, other := range map[string]string{
		"refused": refused, "one byte more": value + "A", "one byte less": value[1:], "short": "AAAA", "empty": "",
		"other case of the first byte": string(value[0]^0x20) + value[1:],
	} {
		if found, ok := id.Intern([]byte(other)); ok {
			t.Errorf("%s: found %.20q, want nothing", name, found)
		}
	}
}

// TestInternPrintable checks that a value with other characters than printable ASCII is
// cached and not interned, because the parser of the fast path accepts none.
func TestInternPrintable(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	for value, want := range map[string]bool{strings.Repeat("a b~", 20): true, strings.Repeat("é", 40): false, strings.Repeat("a\t", 40): false} {
		id := certcache.New(known{map[string]string{value: "mail"}, o, verifier(t, o)})
		for range 3 {
			id.Identify(claim(value), start)
		}
		if _, ok := id.Intern([]byte(value)); ok != want || id.Len() != 1 {
			t.Errorf("%.8q: interned %t and %d cached, want %t and 1", value, ok, id.Len(), want)
		}
	}
}
