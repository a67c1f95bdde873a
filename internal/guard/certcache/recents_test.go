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

// TestSamePlace: clients whose values look alike where they are sampled, and so
// take each other's place, are never taken for each other.
func TestSamePlace(t *testing.T) {
	o := newOffice(t, pki.P256, 24*time.Hour)
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

// known knows clients by any value.
type known struct {
	names    map[string]string
	office   office
	verifier *trust.Verifier
}

func (k known) Identify(c gate.Claim, now time.Time) gate.Identification {
	cert := k.office.issue(k.names[c.Values[0]])
	return gate.Verification{Verifier: k.verifier, MaxCredentialBytes: limit}.Identify(claim(encode(cert)), now)
}
