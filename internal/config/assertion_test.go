package config_test

import (
	"bytes"
	"crypto/ecdsa"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// withAssertions returns an environment with a file of assertion keys.
func withAssertions(tb testing.TB, keys []byte) map[string]string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "assertion.key")
	if err := os.WriteFile(name, keys, 0o600); err != nil {
		tb.Fatal(err)
	}
	environ := required(tb)
	environ["ASSERTION_KEY_FILE"], environ["ASSERTION_ISSUER"], environ["ASSERTION_AUDIENCE"] = name, "https://gateway.example.com", "schedule"
	return environ
}

func TestAssertions(t *testing.T) {
	first, second := newKey(t), newKey(t)
	environ := withAssertions(t, slices.Concat(ca.KeyPEM(t, first), ca.KeyPEM(t, second)))
	c := load(t, environ)
	if len(c.AssertionKeys) != 2 || c.AssertionKeyFile != environ["ASSERTION_KEY_FILE"] || c.AssertionIssuer != "https://gateway.example.com" || c.AssertionAudience != "schedule" || c.AssertionBind {
		t.Errorf("%d keys, file %q, issuer %q, audience %q, bind %t: want those of the environment", len(c.AssertionKeys), c.AssertionKeyFile, c.AssertionIssuer, c.AssertionAudience, c.AssertionBind)
	}
	if _, ok := c.FileSums[c.AssertionKeyFile]; !ok {
		t.Error("want the sum of the file, which is watched")
	}
	last := c.Inventory()[len(c.Inventory())-1]
	if last.Name != "assertion_keys" || last.Count != 2 || len(last.Digest) != 16 {
		t.Errorf("inventory ends with %+v, want the assertion keys", last)
	}
	environ["ASSERTION_BIND"] = "request"
	for bind, c := range map[bool]config.Config{false: c, true: load(t, environ)} {
		s, err := c.Signer()
		if err != nil || s.Binds() != bind || !bytes.Contains(s.KeySet(), []byte(c.AssertionKeys[1].ID().String())) {
			t.Errorf("bind %t, key set %s, %v: want bind %t and both keys", s.Binds(), s.KeySet(), err, bind)
		}
	}
}

func TestNoAssertions(t *testing.T) {
	c := load(t, required(t))
	s, err := c.Signer()
	if s != nil || err != nil {
		t.Errorf("signer %v and %v, want none", s, err)
	}
	if slices.ContainsFunc(c.Inventory(), func(p config.Part) bool { return p.Name == "assertion_keys" }) {
		t.Errorf("inventory %v, want no assertion keys", c.Inventory())
	}
}

func TestAssertionFaults(t *testing.T) {
	key := newKey(t)
	good := ca.KeyPEM(t, key)
	const (
		wantIssuer   = "1 to 255 printable ASCII characters without spaces, such as https://gateway.example.com, with ASSERTION_KEY_FILE"
		wantAudience = "1 to 255 printable ASCII characters without spaces, such as schedule, with ASSERTION_KEY_FILE"
	)
	tests := []struct {
		name string
		keys []byte
		set  map[string]string // "" removes the variable
		want []string          // variable and the beginning of the problem
	}{
		{"empty file", nil, nil, []string{"ASSERTION_KEY_FILE: want 1 or 2 private keys in PEM, found no PEM block"}},
		{"wrong key", []byte(publicPEM(t, key.Public())), nil, []string{"ASSERTION_KEY_FILE: block 1: want the private key, found a public one"}},
		{"missing file", good, map[string]string{"ASSERTION_KEY_FILE": "nowhere.key"}, []string{`ASSERTION_KEY_FILE: found "nowhere.key": no such file or directory, want the name of a readable file`}},
		{"large file", bytes.Repeat([]byte("\n"), 1<<20+1), nil, []string{`ASSERTION_KEY_FILE: found "`}},
		{"the key of an anchor", good, map[string]string{"AUTH_PUBLIC_KEY": publicPEM(t, key.Public())}, []string{"ASSERTION_KEY_FILE: found the key "}},
		{"no issuer", good, map[string]string{"ASSERTION_ISSUER": ""}, []string{"ASSERTION_ISSUER: found nothing, want " + wantIssuer}},
		{"no audience", good, map[string]string{"ASSERTION_AUDIENCE": ""}, []string{"ASSERTION_AUDIENCE: found nothing, want " + wantAudience}},
		{"neither", good, map[string]string{"ASSERTION_ISSUER": "", "ASSERTION_AUDIENCE": ""}, []string{"ASSERTION_ISSUER: found nothing", "ASSERTION_AUDIENCE: found nothing"}},
		{"space in the issuer", good, map[string]string{"ASSERTION_ISSUER": "a b"}, []string{`ASSERTION_ISSUER: found "a b", want ` + wantIssuer}},
		{"audience outside ASCII", good, map[string]string{"ASSERTION_AUDIENCE": "é"}, []string{`ASSERTION_AUDIENCE: found "é", want ` + wantAudience}},
		{"long audience", good, map[string]string{"ASSERTION_AUDIENCE": strings.Repeat("a", 256)}, []string{"ASSERTION_AUDIENCE: found a text of 256 bytes, want " + wantAudience}},
		{"unknown binding", good, map[string]string{"ASSERTION_BIND": "true"}, []string{`ASSERTION_BIND: found "true", want off or request`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := withAssertions(t, tt.keys)
			maps.Copy(environ, tt.set)
			maps.DeleteFunc(environ, func(_, value string) bool { return value == "" })
			found := faults(t, environ)
			if len(found) != len(tt.want) {
				t.Fatalf("faults %v, want %q", found, tt.want)
			}
			for i, f := range found {
				if !strings.HasPrefix(f.Variable+": "+f.Problem, tt.want[i]) {
					t.Errorf("fault %q, want %q", f.Variable+": "+f.Problem, tt.want[i])
				}
			}
		})
	}
}

func TestParseChangedAssertionKeys(t *testing.T) {
	environ := withAssertions(t, ca.KeyPEM(t, newKey(t)))
	c := load(t, environ)
	changed := content(environ["ASSERTION_KEY_FILE"])
	keys, err := config.ParseAssertionKeys(changed, c.Keyring)
	if err != nil || len(keys) != 1 || keys[0].ID() != c.AssertionKeys[0].ID() {
		t.Errorf("%d keys and %v, want the same key", len(keys), err)
	}
	changed.Text = bytes.Repeat([]byte("\n"), 1<<20+1)
	if _, err := config.ParseAssertionKeys(changed, c.Keyring); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a large file: %v, want the limit", err)
	}
	if _, err := config.ParseAssertionKeys(content("nowhere.key"), c.Keyring); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v, want the reason", err)
	}
}

// TestSeparateKeys checks that the key of an anchor is refused wherever it is in the file.
func TestSeparateKeys(t *testing.T) {
	own, master := newKey(t), newKey(t)
	ring := keyring(t, publicPEM(t, newKey(t).Public())+publicPEM(t, master.Public()))
	tests := []struct {
		name    string
		keys    []*ecdsa.PrivateKey
		refused bool
	}{
		{"separate", []*ecdsa.PrivateKey{own}, false},
		{"the same", []*ecdsa.PrivateKey{master}, true},
		{"the second is the same", []*ecdsa.PrivateKey{own, master}, true},
	}
	for _, tt := range tests {
		var text []byte
		for _, key := range tt.keys {
			text = append(text, ca.KeyPEM(t, key)...)
		}
		keys, err := assertion.ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := config.CheckSeparate(keys, ring); (err != nil) != tt.refused {
			t.Errorf("%s: %v, want refused %t", tt.name, err, tt.refused)
		}
	}
}
