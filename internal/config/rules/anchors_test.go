package rules_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// ring returns a keyring of two bare keys and their short ids.
func ring(t *testing.T) (keys *trust.Keyring, one, two string) {
	t.Helper()
	keys, err := trust.ParseKeyring([]byte(string(ca.New(t).PublicKeyPEM())+string(ca.New(t).PublicKeyPEM())), 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys, keys.Anchors()[0].ID().Short(), keys.Anchors()[1].ID().Short()
}

// TestGroupsAndAnchors parses documents with groups and anchors and compares all faults:
// first those of the document, and if there are none, those of its keys. ONE and TWO stand
// for the ids of two keys in the keyring, ALL for the whole id of the first one.
func TestGroupsAndAnchors(t *testing.T) {
	const ruled = "rules:\n  - name: r\n    clients: [mail]\n    allow: [GET /a]\n"
	using := func(clients string) string { return strings.Replace(ruled, "[mail]", clients, 1) }
	tests := []struct {
		name   string
		source identity.Source
		text   string
		want   []string // "LINE: beginning of the problem"
	}{
		{"group", identity.OU, using(`["@apps"]`) + "groups:\n  apps: [mail, social]\n", nil},
		{"group before the rules, beside a name", identity.OU, "groups: {apps: [mail]}\n" + using(`[social, "@apps"]`), nil},
		{"group in the deny list", identity.OU, ruled + "groups:\n  apps: [mail, social]\ndeny:\n  - client: \"@apps\"\n", nil},
		{"group of an anchor", identity.OU, ruled + "groups:\n  apps: [mail]\nanchors:\n  - key: ONE\n    clients: [\"@apps\"]\n", nil},
		{"no groups", identity.OU, ruled + "groups: {}\n", nil},
		{"groups without value", identity.OU, ruled + "groups:\n", []string{"5: want at least one entry below groups, or groups: {} for none"}},
		{"groups as a list", identity.OU, ruled + "groups: [apps]\n", []string{"5: want groups such as apps: [mail, social], found a list"}},
		{"group as a scalar", identity.OU, using(`["@apps"]`) + "groups:\n  apps: mail\n", []string{`6: want a list of client names such as [mail, social], found "mail"`}},
		{"empty group", identity.OU, using(`["@apps"]`) + "groups:\n  apps: []\n", []string{"6: want at least one client in a group"}},
		{"group with an invalid name of a client", identity.OU, using(`["@apps"]`) + "groups:\n  apps:\n    - a,b\n", []string{`7: client "a,b": want only ASCII letters`}},
		{"group in a group", identity.OU, using(`["@apps"]`) + "groups:\n  more: [mail]\n  apps: [\"@more\"]\n", []string{"6: want a group that a list of clients contains", `7: want the name of a client in a group, found "@more"`}},
		{"star in a group", identity.OU, using(`["@apps"]`) + "groups:\n  apps: [\"*\"]\n", []string{`6: want the name of a client in a group, found "*"`}},
		{"repeated group", identity.OU, using(`["@apps"]`) + "groups:\n  apps: [mail]\n  apps: [social]\n", []string{"7: want the field apps once, found it again after line 6"}},
		{"name of a group", identity.OU, ruled + "groups:\n  \"@apps\": [mail]\n", []string{"6: want a group name of letters"}},
		{"unknown group", identity.OU, using(`["@app"]`) + "groups:\n  apps: [mail]\n", []string{`3: want a group below groups, found "@app"`, `6: want a group that a list of clients contains as "@apps", found no reference`}},
		{"unknown group without groups", identity.OU, using(`[mail, "@apps"]`), []string{`3: want a group below groups, found "@apps"`}},
		{"unknown group in the deny list", identity.OU, ruled + "deny:\n  - client: \"@apps\"\n", []string{`6: want a group below groups, found "@apps"`}},
		{"unused group", identity.OU, ruled + "groups:\n  apps: [mail]\n", []string{`6: want a group that a list of clients contains as "@apps"`}},
		{"alias of a group", identity.OU, ruled + "groups:\n  apps: &a [mail]\n", []string{"6: want no anchors, found &a", "6: want a group that"}},

		{"anchor", identity.OU, ruled + "anchors:\n  - key: ONE\n", nil},
		{"whole key id", identity.OU, ruled + "anchors:\n  - key: ALL\n    clients: [social]\n", nil},
		{"no anchors", identity.OU, ruled + "anchors: []\n", nil},
		{"anchors without value", identity.OU, ruled + "anchors:\n", []string{"5: want at least one entry below anchors, or anchors: [] for none"}},
		{"anchor without key", identity.OU, ruled + "anchors:\n  - clients: [mail]\n", []string{`6: want the id of a key as certgate keys prints it, 16 or 64 hex digits, found ""`}},
		{"key that is not one", identity.OU, ruled + "anchors:\n  - key: mail\n", []string{`6: want the id of a key as certgate keys prints it, 16 or 64 hex digits, found "mail"`}},
		{"key that is not in the keyring", identity.OU, ruled + "anchors:\n  - key: \"0123456789abcdef\"\n", []string{`6: want the id of a key in the keyring, found "0123456789abcdef"`}},
		{"whole key id that differs at its end", identity.OU, ruled + "anchors:\n  - key: ONE000000000000000000000000000000000000000000000000\n", []string{"6: want the id of a key in the keyring"}},
		{"the same key twice", identity.OU, ruled + "anchors:\n  - key: ONE\n  - key: ALL\n", []string{"7: want one entry for each key, found the key of entry 1 again"}},
		{"unknown source", identity.OU, ruled + "anchors:\n  - key: ONE\n    identity: spiffe\n", []string{"7: want ou, cn, uri, dns or email"}},
		{"clients without value", identity.OU, ruled + "anchors:\n  - key: ONE\n    clients:\n", []string{"7: want a list of client names"}},
		{"no clients", identity.OU, ruled + "anchors:\n  - key: ONE\n    clients: []\n", []string{"7: want at least one name, or no field clients"}},
		{"unknown field", identity.OU, ruled + "anchors:\n  - key: ONE\n    client: mail\n", []string{`7: want only the fields key, identity, clients, found "client"`}},
		{"pattern in a rule", identity.OU, using(`["partner-*"]`), []string{`3: client "partner-*": want only ASCII letters`}},

		{"client that no anchor may issue", identity.OU, ruled + "anchors:\n  - key: ONE\n    clients: [social]\n  - key: TWO\n    clients: [\"m-*\"]\n", []string{`3: client "mail": want a client that a key in the keyring may issue`}},
		{"client of a group that no anchor may issue", identity.OU, using("\n      - social\n      - \"@apps\"") + "groups: {apps: [mail]}\nanchors:\n  - key: ONE\n    clients: [social]\n  - key: TWO\n    clients: [\"m-*\"]\n", []string{`5: client "mail": want a client that a key in the keyring may issue`}},
		{"client that one anchor may issue", identity.OU, ruled + "anchors:\n  - key: ONE\n    clients: [social]\n  - key: TWO\n    clients: [\"ma*\"]\n", nil},
		{"everyone", identity.OU, using(`["*"]`) + "anchors:\n  - key: ONE\n    clients: [social]\n  - key: TWO\n    clients: [social]\n", nil},
		{"denied client that no anchor may issue", identity.OU, using("[social]") + "anchors:\n  - key: ONE\n    clients: [social]\n  - key: TWO\n    clients: [social]\ndeny: [{client: mail}]\n", nil},

		{"URI", identity.URI, using(`["spiffe://example.org/mail"]`), nil},
		{"OU with AUTH_IDENTITY=uri", identity.URI, ruled, []string{`3: client "mail": want an absolute URI`}},
		{"denied OU with AUTH_IDENTITY=uri", identity.URI, using(`["urn:a"]`) + "deny: [{client: mail}]\n", []string{`5: client "mail": want an absolute URI`}},
		{"URI with AUTH_IDENTITY=dns", identity.DNS, using(`["spiffe://example.org/mail"]`), []string{`3: client "spiffe://example.org/mail": want only lower-case`}},
		{"DNS name in capitals", identity.DNS, using("[Mail.example]"), []string{`3: client "Mail.example": want only lower-case`}},
		{"URI of one anchor", identity.OU, using(`[mail, "spiffe://partner.example/cal"]`) + "anchors:\n  - key: ONE\n    identity: uri\n    clients: [\"spiffe://partner.example/*\"]\n", nil},
		{"URI outside the scope", identity.OU, using(`["spiffe://other.example/cal"]`) + "anchors:\n  - key: ONE\n    identity: uri\n    clients: [\"spiffe://partner.example/*\"]\n  - key: TWO\n    clients: [mail]\n", []string{`3: client "spiffe://other.example/cal": want a client that a key`}},
		{"neither OU nor URI", identity.OU, using(`["a,b"]`) + "anchors:\n  - key: ONE\n    identity: uri\n", []string{`3: client "a,b": want a client name of one of the sources [ou uri]`}},
		{"OU when every anchor has URIs", identity.OU, ruled + "anchors:\n  - key: ONE\n    identity: uri\n  - key: TWO\n    identity: uri\n", []string{`3: client "mail": want a client that a key in the keyring may issue`}},
	}
	keys, one, two := ring(t)
	ids := strings.NewReplacer("ONE", one, "TWO", two, "ALL", keys.Anchors()[0].ID().String())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := rules.Parse("r", []byte(ids.Replace(tt.text)), tt.source)
			if err == nil {
				err = doc.CheckAnchors(keys)
			}
			var found []string
			if err != nil {
				found = strings.Split(err.Error(), "\n")
			}
			if len(found) != len(tt.want) {
				t.Fatalf("found %q, want %q", found, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(found[i], "r:"+want) {
					t.Errorf("fault %q, want %q", found[i], want)
				}
			}
		})
	}
}

// TestScopesChangeTheDigest checks that the digest of the rules covers the scopes, and
// neither the groups nor the order of anchors.
func TestScopesChangeTheDigest(t *testing.T) {
	digest := func(text string) string {
		t.Helper()
		doc, err := rules.Parse("r", []byte(text), identity.OU)
		if err != nil {
			t.Fatal(err)
		}
		return doc.RulesDigest
	}
	plain := digest(rule(""))
	if digest("groups: {g: [mail]}\n"+strings.Replace(rule(""), "[mail]", `["@g"]`, 1)) != plain {
		t.Error("a group changes the digest")
	}
	a, b := "  - {key: 0c0c0c0c0c0c0c0c, clients: [mail]}\n", "  - {key: 0d0d0d0d0d0d0d0d, identity: uri}\n"
	scoped := digest(rule("anchors:\n" + a + b))
	if scoped == plain || digest(rule("anchors:\n"+a)) == scoped {
		t.Error("a scope does not change the digest")
	}
	if digest(rule("anchors:\n"+b+a)) != scoped {
		t.Error("the order of the anchors changes the digest")
	}
}
