package certcache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
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

// known accepts every value as a client of that name.
type known struct {
	names    map[string]string
	office   testCA
	verifier *trust.Verifier
}

func (k known) Identify(c gate.Claim, now time.Time) gate.Identification {
	cert := k.office.issue(k.names[c.Values[0]])
	return gate.Verification{Verifier: k.verifier, MaxCredentialBytes: limit}.Identify(claim(encode(cert)), now)
}
