package config_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// TestInventory checks the count of each part and which changes modify its digest.
func TestInventory(t *testing.T) {
	one, two := publicPEM(t, newKey(t).Public()), publicPEM(t, newKey(t).Public())
	inventory := func(set map[string]string) []config.Part {
		t.Helper()
		environ := required(t)
		environ["AUTH_PUBLIC_KEY"] = one + two
		maps.Copy(environ, set)
		return load(t, environ).Inventory()
	}
	denied := goodRules + "deny:\n  - client: social\n    reason: leaked\n  - serial: 4F3A\n"
	base := inventory(map[string]string{"ACCESS_RULES": denied})
	var counts []int
	for i, p := range base {
		counts = append(counts, p.Count)
		if want := []string{"keys", "rules", "denials", "crls"}[i]; p.Name != want || len(p.Digest) != 16 {
			t.Errorf("want %s with a digest of 16 digits, found %+v", want, p)
		}
	}
	if want := []int{2, 1, 2, 0}; !slices.Equal(counts, want) {
		t.Errorf("counts %d, want %d", counts, want)
	}
	for _, tt := range []struct {
		name    string
		set     map[string]string
		changed []bool // keys, rules, denials, crls
	}{
		{"another layout", map[string]string{
			"AUTH_PUBLIC_KEY": "# both\n" + two + "\n" + one,
			"ACCESS_RULES":    goodRules + "deny: [{serial: '004f:3a', reason: x}, {client: social}]\n",
		}, []bool{false, false, false, false}},
		{"another key", map[string]string{"AUTH_PUBLIC_KEY": one, "ACCESS_RULES": denied}, []bool{true, false, false, false}},
		{"another denial", map[string]string{"ACCESS_RULES": goodRules + "deny: [{client: social}]\n"}, []bool{false, false, true, false}},
		{"no denial", map[string]string{"ACCESS_RULES": goodRules}, []bool{false, false, true, false}},
		{"another rule", map[string]string{"ACCESS_RULES": "rules: [{name: z, clients: [z], allow: [GET /z]}]\ndeny: [{client: social}, {serial: 4f3a}]\n"}, []bool{false, true, false, false}},
	} {
		var changed []bool
		for i, p := range inventory(tt.set) {
			changed = append(changed, p.Digest != base[i].Digest)
		}
		if !slices.Equal(changed, tt.changed) {
			t.Errorf("%s: changed digests %t, want %t", tt.name, changed, tt.changed)
		}
	}
}

// TestInventoryOfCRLs checks that revocation lists are counted and that a newer list has
// another digest.
func TestInventoryOfCRLs(t *testing.T) {
	ca := newIssuer(t)
	inFolder(t, map[string][]byte{"a": ca.list(t), "b": ca.list(t, 1)})
	part := func(files string) config.Part {
		t.Helper()
		return load(t, ca.withLists(t, map[string]string{"AUTH_CRL_FILE": files})).Inventory()[3]
	}
	both := part("a,b")
	if both.Count != 2 || both != part("b,a") || both.Digest == part("a").Digest {
		t.Errorf("want two lists and a digest of both, found %+v", both)
	}
}
