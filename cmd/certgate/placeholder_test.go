package main

import (
	"maps"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/pki"
)

// TestWithPlaceholders checks that a placeholder replaces no variable that is set, even to
// an empty value, and that the given environment stays unchanged.
func TestWithPlaceholders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ map[string]string
		want    string // ACCESS_RULES; "" for none
	}{
		{"no environment", nil, unusedRules().value},
		{"not set", map[string]string{"ACCESS_RULE": "x"}, unusedRules().value},
		{"set", map[string]string{"ACCESS_RULES": "x"}, "x"},
		{"set to an empty value", map[string]string{"ACCESS_RULES": ""}, ""},
		{"the file is set", map[string]string{"ACCESS_RULES_FILE": "x"}, ""},
		{"the file is set to an empty value", map[string]string{"ACCESS_RULES_FILE": ""}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := maps.Clone(test.environ)
			if found := withPlaceholders(test.environ, unusedRules())["ACCESS_RULES"]; found != test.want {
				t.Errorf("want %q, found %q", test.want, found)
			}
			if !maps.Equal(test.environ, before) {
				t.Errorf("want the environment unchanged, found %v", test.environ)
			}
		})
	}
}

// TestPlaceholdersAllowNothing checks that the placeholders refuse every request, even of
// the client that they name.
func TestPlaceholdersAllowNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, _ := newCertificate(t, now)
	key, err := pki.Ed25519.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{Client: "unused", PublicKey: key.Public(), Lifetime: day, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{"AUTH_PUBLIC_KEY": string(ca.PublicKeyPEM())}
	c, err := config.Load(withPlaceholders(environ, unusedRules(), unusedUpstream()))
	if err != nil || len(c.Warnings) != 0 || c.UpstreamURL() != unusedUpstream().value {
		t.Fatalf("want a configuration with the unused upstream and no warning, found %s, %q and %v", c.UpstreamURL(), c.Warnings, err)
	}
	g := gate.Gate{
		Identifier: gate.Verification{Verifier: c.Verifier(), Names: c.Rules.Names, MaxCredentialBytes: c.MaxCredentialBytes},
		Policy:     c.Rules.Policy,
	}
	d := g.Decide(gate.Request{
		Time: now, Credential: []string{certheader.Encode(certheader.Base64DER, cert.Raw)}, Method: "GET", Target: "/unused",
	})
	if d.Refusal == nil || d.Refusal.Reason != refusal.AccessDenied {
		t.Errorf("want %s, found %v", refusal.AccessDenied, d.Refusal)
	}
}
