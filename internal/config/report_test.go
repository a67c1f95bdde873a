package config_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// TestRuleFaultsContainLine checks that faults of rules contain the line in the file or
// in the variable.
func TestRuleFaultsContainLine(t *testing.T) {
	const bad = "rules:\n  - name: a\n    clients: [mail]\n    allow: [\"POST /events\"]\n    colour: red\n"
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	for variable, value := range map[string]string{"ACCESS_RULES": bad, "ACCESS_RULES_FILE": file} {
		t.Run(variable, func(t *testing.T) {
			environ := required(t)
			delete(environ, "ACCESS_RULES")
			environ[variable] = value
			place := variable + ":5: "
			if variable == "ACCESS_RULES_FILE" {
				place = file + ":5: "
			}
			have := faults(t, environ)
			if len(have) != 1 || have[0].Variable != variable || !strings.HasPrefix(have[0].Problem, place) {
				t.Errorf("faults %+v, want one that begins with %q", have, place)
			}
			_, err := config.Load(environ)
			if line := err.Error(); !strings.HasPrefix(line, place) && !strings.HasPrefix(line, variable+": "+place) || strings.Count(line, "ACCESS_RULES:") > 1 {
				t.Errorf("error %q, want the variable and the place once", line)
			}
		})
	}
}

// TestAllFaultsReported sets every variable to an invalid value.
func TestAllFaultsReported(t *testing.T) {
	environ := map[string]string{}
	var want []string
	for _, v := range config.Variables() {
		if !slices.Contains([]string{"AUTH_PUBLIC_KEY_FILE", "ACCESS_RULES_FILE", "ACCESS_RULES_NEXT_FILE"}, v.Name) {
			environ[v.Name] = "? ?"
			want = append(want, v.Name)
		}
	}
	var have []string
	for _, f := range faults(t, environ) {
		have = append(have, f.Variable)
	}
	if !slices.Equal(have, want) {
		t.Errorf("faulty variables, in their order, %q, want %q", have, want)
	}
	_, err := config.Load(environ)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) || !strings.HasPrefix(lines[0], `LISTEN_ADDR: found "? ?", want host:port`) {
		t.Errorf("error %q, want one line for each fault", err)
	}
}

// TestErrorsContainNoKey sets every variable to a key, complete and damaged. No error may
// contain a part of the key.
func TestErrorsContainNoKey(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	public := required(t)["AUTH_PUBLIC_KEY"]
	for name, text := range map[string]string{
		"private":           private,
		"public":            public,
		"first half":        public[:len(public)/2],
		"second half":       public[len(public)/2:],
		"private damaged":   strings.Replace(private, "\n", "\n*", 2),
		"private body":      base64.StdEncoding.EncodeToString(der),
		"newlines as \\n":   strings.ReplaceAll(private, "\n", `\n`),
		"newlines as blank": strings.ReplaceAll(private, "\n", " "),
		"base64 of PEM":     base64.StdEncoding.EncodeToString([]byte(private)),
		"after rules":       goodRules + private,
		"with a bad type":   strings.ReplaceAll(public, "PUBLIC", "PUBIC"),
	} {
		for _, v := range config.Variables() {
			environ := required(t)
			if base, isFile := strings.CutSuffix(v.Name, "_FILE"); isFile {
				delete(environ, base)
			}
			environ[v.Name] = text
			c, err := config.Load(environ)
			if err == nil {
				err = &config.Error{Faults: c.NextFaults} // of a file that is no key
			}
			if piece := sharedPiece(text, err.Error()); piece != "" {
				t.Errorf("%s in %s: the error contains %q:\n%v", name, v.Name, piece, err)
			}
		}
	}
}

// sharedPiece returns a sequence of 12 bytes of a key's body that text contains, or "".
func sharedPiece(key, text string) string {
	const length = 12
	for i := 0; i+length <= len(key); i++ {
		piece := key[i : i+length]
		isBody := !strings.ContainsAny(piece, "- \n[]:") && strings.ContainsAny(piece, "0123456789")
		if isBody && strings.Contains(text, piece) {
			return piece
		}
	}
	return ""
}

// FuzzLoad sets one variable to any value. Load must not panic, and no error may contain
// a secret.
func FuzzLoad(f *testing.F) {
	for i := range config.Variables() {
		f.Add(uint8(i), "10.0.0.0/8")
		f.Add(uint8(i), "http://u:secret@h:1/?#")
		f.Add(uint8(i), "1MiB")
		f.Add(uint8(i), "")
	}
	good := required(f)
	names := config.Variables()
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		name := names[int(which)%len(names)].Name
		if strings.HasSuffix(name, "_FILE") {
			t.Skip("files are named by the operator")
		}
		environ := maps.Clone(good)
		environ[name] = value
		c, err := config.Load(environ)
		if err == nil {
			if c.Keyring == nil || c.Upstreams == nil || c.ListenAddr == "" {
				t.Fatalf("%s=%q: found an incomplete Config, want a fault", name, value)
			}
			return
		}
		for _, fault := range faults(t, environ) {
			// AUTHZ_ADDR and AUTHZ_PEERS require each other.
			both := strings.HasPrefix(name, "AUTHZ_") && strings.HasPrefix(fault.Variable, "AUTHZ_")
			if fault.Variable != name && fault.Variable != "ADMIN_ADDR" && !both {
				t.Errorf("%s=%q: found a fault of %s", name, value, fault.Variable)
			}
			if strings.Contains(fault.Problem, "\n") {
				t.Errorf("%s=%q: want one line, found %q", name, value, fault.Problem)
			}
		}
		isSecret := name == "AUTH_PUBLIC_KEY" || name == "REDIS_URL" || strings.Contains(value, "@") && name == "UPSTREAM_URL"
		if isSecret && len(value) > 12 && strings.Contains(err.Error(), value) {
			t.Errorf("%s: the error contains the value: %v", name, err)
		}
	})
}
