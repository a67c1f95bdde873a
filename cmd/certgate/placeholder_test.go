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

// TestFilled: a placeholder takes the place of nothing that is set, even to an
// empty value, and the environment stays as it was.
func TestFilled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ map[string]string
		want    string // ACCESS_RULES; "" for none
	}{
		{"no environment", nil, unusedRules().value},
		{"not set", map[string]string{"ACCESS_RULE": "x"}, unusedRules().value},
		{"set", map[string]string{"ACCESS_RULES": "x"}, "x"},
		{"set to nothing", map[string]string{"ACCESS_RULES": ""}, ""},
		{"the file set", map[string]string{"ACCESS_RULES_FILE": "x"}, ""},
		{"the file set to nothing", map[string]string{"ACCESS_RULES_FILE": ""}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := maps.Clone(test.environ)
			if found := filled(test.environ, unusedRules())["ACCESS_RULES"]; found != test.want {
				t.Errorf("want %q, found %q", test.want, found)
			}
			if !maps.Equal(test.environ, before) {
				t.Errorf("want the environment as it was, found %v", test.environ)
			}
		})
	}
}

// TestPlaceholdersAllowNobody: should they ever decide, they refuse even the
// client that they name.
func TestPlaceholdersAllowNobody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, _ := issued(t, now)
	key, err := pki.Ed25519.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{Client: "unused", PublicKey: key.Public(), Lifetime: day, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{"AUTH_PUBLIC_KEY": string(ca.PublicKeyPEM())}
	c, err := config.Load(filled(environ, unusedRules(), unusedUpstream()))
	if err != nil || len(c.Warnings) != 0 || c.UpstreamURL() != unusedUpstream().value {
		t.Fatalf("want a configuration with an upstream that is nowhere and no warning, found %s, %q and %v", c.UpstreamURL(), c.Warnings, err)
	}
	g := gate.Gate{
		Identifier: gate.Verification{Verifier: c.Verifier(), MaxCredentialBytes: c.MaxCredentialBytes},
		Policy:     c.Rules.Policy,
	}
	d := g.Decide(gate.Request{
		Time: now, Credential: []string{certheader.Encode(certheader.Base64DER, cert.Raw)}, Method: "GET", Target: "/unused",
	})
	if d.Denial == nil || d.Denial.Reason != refusal.AccessDenied {
		t.Errorf("want %s, found %v", refusal.AccessDenied, d.Denial)
	}
}
