package access_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
)

// proving is a rule of everyone's that says something of proof.
func proving(name, proof string, allow ...string) access.Rule {
	return access.Rule{Name: name, Clients: []string{"*"}, Allow: allow, Proof: proof}
}

// TestGrantSaysProof: the first rule that grants decides, strict or not.
func TestGrantSaysProof(t *testing.T) {
	policy := compile(t, []access.Rule{
		proving("lax", "off", "GET /a/b"),
		proving("strict", "require", "GET /a/"),
		proving("unsaid", "", "GET /c"),
		proving("watched", "observe", "GET /"),
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
	if p := (access.Grant{}).Proof(); p != access.ProofUnsaid {
		t.Errorf("the zero Grant says %q", p)
	}
}

// TestAfterKeepsProof: buckets are kept from the policy before, what a rule says
// of proof is not.
func TestAfterKeepsProof(t *testing.T) {
	before := limited("a", "1/h", "")
	now := before
	before.Proof, now.Proof = "off", "require"
	granted := grant(t, compile(t, []access.Rule{now}).After(compile(t, []access.Rule{before})), client(t, "mail"), "a")
	if granted.Proof() != access.ProofRequire {
		t.Errorf("proof %q, want that of the rules read last", granted.Proof())
	}
}

func TestCompileProof(t *testing.T) {
	for _, sound := range []string{"", "off", "observe", "require"} {
		if _, err := access.Compile([]access.Rule{proving("r", sound, "GET /")}, nil); err != nil {
			t.Errorf("%q: %v", sound, err)
		}
	}
	const want = "rules[0].proof: want proof to be require, observe or off, found "
	for _, bad := range []string{"Require", "required", "require ", "on", "true", "false", "no", strings.Repeat("r", 500)} {
		policy, err := access.Compile([]access.Rule{proving("r", bad, "GET /")}, nil)
		if err == nil || policy != nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v, want %s", bad, err, want)
		}
	}
}

// TestEveryRule compares with the list that the policy is made of. Without rules
// nothing is true of every rule, or a policy that is missing would require proof,
// and look at no signature, of everything.
func TestEveryRule(t *testing.T) {
	anything := func(access.Proof) bool { return true }
	if (*access.Policy)(nil).EveryRule(anything) || new(access.Policy).EveryRule(anything) || compile(t, nil).EveryRule(anything) {
		t.Error("something is true of every rule where there is none")
	}
	all := []access.Proof{access.ProofUnsaid, access.ProofOff, access.ProofObserve, access.ProofRequire}
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.SliceOfN(rapid.SampledFrom(all), 1, 4).Draw(t, "said")
		asked := rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "asked")
		var rules []access.Rule
		for i, p := range said {
			rules = append(rules, proving(string(rune('a'+i)), string(p), "GET /"+string(rune('a'+i))))
		}
		policy, err := access.Compile(rules, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := true
		for _, p := range said {
			want = want && slices.Contains(asked, p)
		}
		if got := policy.EveryRule(func(p access.Proof) bool { return slices.Contains(asked, p) }); got != want {
			t.Errorf("rules that say %q: is it true of each to be in %q? %v, want %v", said, asked, got, want)
		}
	})
}
