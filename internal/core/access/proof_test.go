package access_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
)

// withProof returns a rule for every client with a proof setting.
func withProof(name, proof string, allow ...string) access.Rule {
	return access.Rule{Name: name, Clients: []string{"*"}, Allow: allow, Proof: proof}
}

// TestGrantProof checks that the first rule that matches determines the setting.
func TestGrantProof(t *testing.T) {
	policy := compile(t, []access.Rule{
		withProof("lax", "off", "GET /a/b"),
		withProof("strict", "require", "GET /a/"),
		withProof("unsaid", "", "GET /c"),
		withProof("watched", "observe", "GET /"),
	})
	mail := client(t, "mail")
	for path, want := range map[string]access.Proof{
		"/a/b": access.ProofOff,
		"/a/c": access.ProofRequire,
		"/c":   access.ProofUnsaid,
		"/d":   access.ProofObserve,
	} {
		granted, err := policy.Decide(mail, "GET", target(t, path))
		if err != nil || granted.Proof() != want {
			t.Errorf("%s: proof %q, %v; want %q", path, granted.Proof(), err, want)
		}
	}
	if p := new(access.Grant).Proof(); p != access.ProofUnsaid {
		t.Errorf("the zero Grant has %q, want none", p)
	}
}

// TestAfterUsesNewProof checks that After keeps the buckets of the earlier policy, but not
// its proof settings.
func TestAfterUsesNewProof(t *testing.T) {
	before := limited("a", "1/h", "")
	now := before
	before.Proof, now.Proof = "off", "require"
	granted := grant(t, compile(t, []access.Rule{now}).After(compile(t, []access.Rule{before})), client(t, "mail"), "a")
	if granted.Proof() != access.ProofRequire {
		t.Errorf("proof %q, want the one of the new rules", granted.Proof())
	}
}

func TestCompileProof(t *testing.T) {
	for _, valid := range []string{"", "off", "observe", "require"} {
		if _, err := access.Compile([]access.Rule{withProof("r", valid, "GET /")}, nil); err != nil {
			t.Errorf("%q: %v", valid, err)
		}
	}
	const want = "rules[0].proof: want proof to be require, observe or off, found "
	for _, bad := range []string{"Require", "required", "require ", "on", "true", "false", "no", strings.Repeat("r", 500)} {
		policy, err := access.Compile([]access.Rule{withProof("r", bad, "GET /")}, nil)
		if err == nil || policy != nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v, want %s", bad, err, want)
		}
	}
}

// TestEveryRule compares EveryRule with a loop over the rules. Without rules it is false, so
// that a missing policy never counts as one in which every rule has some setting.
func TestEveryRule(t *testing.T) {
	anything := func(access.Proof) bool { return true }
	if (*access.Policy)(nil).EveryRule(anything) || new(access.Policy).EveryRule(anything) || compile(t, nil).EveryRule(anything) {
		t.Error("want false without rules, found true")
	}
	all := []access.Proof{access.ProofUnsaid, access.ProofOff, access.ProofObserve, access.ProofRequire}
	rapid.Check(t, func(t *rapid.T) {
		settings := rapid.SliceOfN(rapid.SampledFrom(all), 1, 4).Draw(t, "settings")
		accepted := rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "accepted")
		var rules []access.Rule
		for i, p := range settings {
			rules = append(rules, withProof(string(rune('a'+i)), string(p), "GET /"+string(rune('a'+i))))
		}
		policy, err := access.Compile(rules, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := true
		for _, p := range settings {
			want = want && slices.Contains(accepted, p)
		}
		if got := policy.EveryRule(func(p access.Proof) bool { return slices.Contains(accepted, p) }); got != want {
			t.Errorf("rules with %q: EveryRule is %[3]v for one of %[2]q, want %[4]v", settings, accepted, got, want)
		}
	})
}
