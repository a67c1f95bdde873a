package identity_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
)

// TestPermitsLogged checks names with the short id of their anchor. Keys may be configured by
// their short or by their whole id.
func TestPermitsLogged(t *testing.T) {
	t.Parallel()
	short := strings.Repeat("0a", 8)
	whole := strings.Repeat("1b", 32)
	r, err := identity.NewReader(identity.OU, []identity.Scope{
		{Key: short, Clients: []string{"mail", "partner-*"}},
		{Key: whole, Source: identity.URI},
	})
	if err != nil {
		t.Fatal(err)
	}
	type result struct{ permitted, sameSource bool }
	tests := []struct {
		name      string
		reader    *identity.Reader
		key, text string
		want      result
	}{
		{"listed", r, short, "mail", result{true, true}},
		{"beginning", r, short, "partner-a", result{true, true}},
		{"not listed", r, short, "social", result{false, true}},
		{"another key", r, whole[:16], "spiffe://partner.example/a", result{true, true}},
		{"name of another source", r, whole[:16], "mail", result{false, false}},
		{"key without a scope", r, strings.Repeat("2c", 8), "social", result{true, true}},
		{"no key", r, "", "social", result{true, true}},
		{"invalid name", r, short, "mail ", result{false, false}},
		{"nil reader", nil, short, "mail", result{false, false}},
	}
	for _, test := range tests {
		if permitted, same := test.reader.PermitsLogged(test.key, test.text); (result{permitted, same}) != test.want {
			t.Errorf("%s: PermitsLogged(%q, %q) = %t, %t, want %+v", test.name, test.key, test.text, permitted, same, test.want)
		}
	}
}
