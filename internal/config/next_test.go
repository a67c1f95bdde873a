package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// strictRules are valid next rules with a denied client and a denied serial number.
const strictRules = "rules: [{name: n, clients: [social], allow: [GET /n]}]\ndeny: [{client: mail}, {serial: 4f}]\n"

// withNext returns a valid environment with additional variables.
func withNext(t *testing.T, set map[string]string) map[string]string {
	t.Helper()
	environ := required(t)
	maps.Copy(environ, set)
	return environ
}

// TestNextRules checks which environments have next rules, and which errors of their file
// are no errors of the configuration.
func TestNextRules(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const inline, named = "ACCESS_RULES_NEXT", "ACCESS_RULES_NEXT_FILE"
	broken := file("broken.yaml", "rules:\n  - name: n\n")
	missing, foreign := filepath.Join(dir, "missing.yaml"), file("foreign.yaml", "anchors: [{key: 0123456789abcdef}]\n"+strictRules)
	fault := func(problem string) []config.Fault { return []config.Fault{{Variable: named, Problem: problem}} }
	tests := []struct {
		name   string
		set    map[string]string
		rules  int // -1 means no next rules
		file   string
		faults []config.Fault // of the file
	}{
		{"unset", nil, -1, "", nil},
		{"in the variable", map[string]string{inline: strictRules}, 1, "", nil},
		{"in a file", map[string]string{named: file("next.yaml", strictRules)}, 1, filepath.Join(dir, "next.yaml"), nil},
		{"no file", map[string]string{named: missing}, -1, missing, nil},
		{"no file in the working directory", map[string]string{named: "missing.yaml"}, -1, "missing.yaml", nil},
		{"empty file", map[string]string{named: file("empty.yaml", " \n")}, -1, filepath.Join(dir, "empty.yaml"), nil},
		{"invalid file", map[string]string{named: broken}, -1, broken, append(
			fault(broken+":2: want at least one client, or \"*\", found none"), fault(broken+":2: want at least one pattern such as \"GET /events\", found none")...)},
		{"a pipe", map[string]string{named: pipe}, -1, pipe, fault("found " + quoted(pipe) + ": named pipe, not a regular file, want a readable file")},
		{"another keyring", map[string]string{named: foreign}, -1, foreign,
			fault(foreign + ":1: want the id of a key in the keyring, found \"0123456789abcdef\": certgate keys lists them")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, withNext(t, tt.set))
			rules := -1
			if c.Next != nil {
				rules = c.Next.RuleCount
			}
			if rules != tt.rules || c.NextFile != tt.file {
				t.Errorf("%d next rules of file %q, want %d of %q", rules, c.NextFile, tt.rules, tt.file)
			}
			if !slices.Equal(c.NextFaults, tt.faults) {
				t.Errorf("faults of the file %q, want %q", c.NextFaults, tt.faults)
			}
			if c.Rules.RuleCount != 1 {
				t.Errorf("%d rules in force, want one", c.Rules.RuleCount)
			}
		})
	}
}

// TestNextRulesFaults checks the errors that prevent the start.
func TestNextRulesFaults(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte(goodRules), 0o600); err != nil {
		t.Fatal(err)
	}
	const inline, named = "ACCESS_RULES_NEXT", "ACCESS_RULES_NEXT_FILE"
	const want = ", want the name of a file in an existing folder"
	for _, tt := range []struct {
		name string
		set  map[string]string
		want config.Fault
	}{
		{"both", map[string]string{inline: strictRules, named: rules}, config.Fault{Variable: inline, Problem: "found " + named + " as well, want only one of the two"}},
		{"invalid rules", map[string]string{inline: "rules: []"}, config.Fault{Variable: inline, Problem: inline + ":1: want a list of at least one rule, found none"}},
		{"no folder", map[string]string{named: "/nowhere/next.yaml"}, config.Fault{Variable: named, Problem: `found "/nowhere/next.yaml"` + want}},
		{"a folder that is a file", map[string]string{named: rules + "/next.yaml"}, config.Fault{Variable: named, Problem: "found " + quoted(rules+"/next.yaml") + want}},
		{"rules instead of a name", map[string]string{named: "rules:\n- name: n"}, config.Fault{Variable: named, Problem: "found a text of 16 bytes" + want}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantFaults(t, withNext(t, tt.set), tt.want)
		})
	}
	environ := withNext(t, map[string]string{"ACCESS_RULES_FILE": rules, named: filepath.Dir(rules) + "/./rules.yaml"})
	delete(environ, "ACCESS_RULES")
	wantFaults(t, environ, config.Fault{Variable: named, Problem: "found the file of ACCESS_RULES_FILE, want another file: the next rules replace it later"})
}

// TestNextInventory checks the parts of next rules, whose digests are those that the rules
// have after the promotion, and that a verifier exists only for another deny list.
func TestNextInventory(t *testing.T) {
	parts := func(c config.Config) map[string]config.Part {
		found := map[string]config.Part{}
		for _, p := range c.Inventory() {
			found[p.Name] = p
		}
		return found
	}
	c := load(t, withNext(t, map[string]string{"ACCESS_RULES_NEXT": strictRules}))
	next, promoted := parts(c), parts(load(t, withNext(t, map[string]string{"ACCESS_RULES": strictRules})))
	for part, after := range map[string]string{"next_rules": "rules", "next_denials": "denials"} {
		if next[part].Digest != promoted[after].Digest || next[part].Count != promoted[after].Count {
			t.Errorf("%s: %+v, want that of %s after the promotion: %+v", part, next[part], after, promoted[after])
		}
	}
	if next["rules"].Digest == next["next_rules"].Digest || next["next_denials"].Count != 2 {
		t.Errorf("want other next rules with two denials, found %+v", next)
	}
	if _, found := promoted["next_rules"]; found {
		t.Error("want no part next_rules without next rules")
	}
	if c.NextVerifier() == nil || load(t, withNext(t, map[string]string{"ACCESS_RULES_NEXT": goodRules})).NextVerifier() != nil || load(t, required(t)).NextVerifier() != nil {
		t.Error("want a verifier exactly if the next rules deny other serials, keys or certificates")
	}
}
