package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/test/harness"
)

// scriptResult is the exit code and the output of a script.
type scriptResult struct {
	code           int
	stdout, stderr string
}

// runScript runs scripts/NAME in dir, with input as its standard input.
func runScript(t *testing.T, dir, input, name string, arguments ...string) scriptResult {
	t.Helper()
	harness.LookProgram(t, "bash")
	harness.LookProgram(t, "openssl")
	script, err := filepath.Abs(filepath.Join(harness.Root, "scripts", name))
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), script, arguments...)
	command.Dir, command.Stdin = dir, strings.NewReader(input)
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return scriptResult{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// mustRunScript runs a script, and returns its output. The test fails if the exit code is not
// 0 or if there is output on stderr.
func mustRunScript(t *testing.T, dir, name string, arguments ...string) string {
	t.Helper()
	result := runScript(t, dir, "", name, arguments...)
	if result.code != 0 || result.stderr != "" {
		t.Fatalf("%s %q: want exit code 0 and nothing on stderr, found %d and %s", name, arguments, result.code, result.stderr)
	}
	return result.stdout
}

func readScriptCertificate(t *testing.T, elements ...string) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(harness.ReadFile(t, elements...))
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		t.Fatalf("want one PEM block in %v", elements)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// wantScriptFiles expects exactly these files in dir. Only the owner may read private keys.
func wantScriptFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, 0, len(entries))
	for _, entry := range entries {
		found = append(found, entry.Name())
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o644)
		if strings.HasSuffix(entry.Name(), ".key") {
			want = 0o600
		}
		if info.Mode() != want {
			t.Errorf("%s: want the mode %v, found %v", entry.Name(), want, info.Mode())
		}
	}
	if strings.Join(found, " ") != strings.Join(names, " ") {
		t.Errorf("want the files %v, found %v", names, found)
	}
}

// scriptClient returns the client's name in the certificate of a header value, after it
// verified the certificate as the gateway does.
func scriptClient(t *testing.T, anchor []byte, minRSABits int, header string) string {
	t.Helper()
	chain, err := certheader.Parse([]string{header}, 16<<10)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(anchor, minRSABits)
	if err != nil {
		t.Fatal(err)
	}
	revocations, err := trust.NewRevocations(nil)
	if err != nil {
		t.Fatal(err)
	}
	verifier := trust.NewVerifier(keyring, revocations, trust.Limits{ClockSkew: time.Minute, MinRSABits: minRSABits})
	verified, err := verifier.Verify(chain.Leaf, chain.Leaf.NotBefore.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	client, err := identity.OU.Reader().Of(verified)
	if err != nil {
		t.Fatal(err)
	}
	return client.Name()
}

// TestCollectiveIdeaScript checks the files and the header that scripts/collective-idea.sh
// makes.
func TestCollectiveIdeaScript(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"rsa", "p256", "ed25519"} {
		t.Run(algorithm, func(t *testing.T) {
			dir := t.TempDir()
			keys := filepath.Join(dir, "new", "keys")
			mustRunScript(t, dir, "master-key.sh", "--dir", keys, "--algorithm="+algorithm)
			mustRunScript(t, dir, "collective-idea.sh", "--dir", keys, "--ou", "mail", "--days", "7")
			wantScriptFiles(t, keys, "mail.crt", "mail.csr", "master.key", "master.pub")

			certificate := readScriptCertificate(t, keys, "mail.crt")
			if len(certificate.Extensions) != 0 || certificate.Subject.String() != "OU=mail" {
				t.Errorf("want OU=mail and no extensions, found %s and %d", certificate.Subject, len(certificate.Extensions))
			}
			if found := certificate.NotAfter.Sub(certificate.NotBefore); found != 7*24*time.Hour {
				t.Errorf("want 7 days, found %s", found)
			}
			public := harness.ReadFile(t, keys, "master.pub")
			if block, _ := pem.Decode(public); !bytes.Equal(block.Bytes, certificate.RawSubjectPublicKeyInfo) {
				t.Error("want the master key in the certificate")
			}
			header := mustRunScript(t, keys, "header.sh", "mail.crt")
			if client := scriptClient(t, public, 2048, strings.TrimSpace(header)); client != "mail" {
				t.Errorf("want the client mail, found %q", client)
			}
		})
	}
}

// TestMasterKeyScriptWarnsOf1024Bits checks that scripts/master-key.sh makes a key of 1024
// bits with a warning.
func TestMasterKeyScriptWarnsOf1024Bits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	result := runScript(t, dir, "", "master-key.sh", "--bits", "1024", "--dir", dir)
	if result.code != 0 || !strings.Contains(result.stderr, "AUTH_MIN_RSA_BITS=1024") {
		t.Fatalf("want exit 0 and a warning, found %d and %q", result.code, result.stderr)
	}
	mustRunScript(t, dir, "collective-idea.sh", "--ou", "mail", "--dir", dir)
	header := strings.TrimSpace(mustRunScript(t, dir, "header.sh", "mail.crt"))
	public := harness.ReadFile(t, dir, "master.pub")
	if client := scriptClient(t, public, 1024, header); client != "mail" {
		t.Errorf("want the client mail, found %q", client)
	}
	if _, err := trust.ParseKeyring(public, 2048); err == nil {
		t.Error("want the key refused where 2048 bits are the least")
	}
}

// TestSitePointScript checks the files and the header that scripts/sitepoint.sh makes.
func TestSitePointScript(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"rsa", "p256", "ed25519"} {
		t.Run(algorithm, func(t *testing.T) {
			dir := t.TempDir()
			for _, ou := range []string{"mail", "team/social+eu:1 a"} {
				mustRunScript(t, dir, "sitepoint.sh", "--dir", dir, "--ou", ou, "--algorithm", algorithm)
			}
			wantScriptFiles(t, dir, "ca.crt", "ca.key", "ca.pub", "mail.crt", "mail.csr", "mail.key",
				"team-social+eu-1-a.crt", "team-social+eu-1-a.csr", "team-social+eu-1-a.key")

			mail := readScriptCertificate(t, dir, "mail.crt")
			social := readScriptCertificate(t, dir, "team-social+eu-1-a.crt")
			if mail.SerialNumber.Cmp(social.SerialNumber) == 0 || mail.SerialNumber.BitLen() < 64 {
				t.Errorf("want two random serials, found %x and %x", mail.SerialNumber, social.SerialNumber)
			}
			if bytes.Equal(mail.RawSubjectPublicKeyInfo, social.RawSubjectPublicKeyInfo) {
				t.Error("want a key for each client")
			}
			roots := x509.NewCertPool()
			roots.AddCert(readScriptCertificate(t, dir, "ca.crt"))
			for usage, good := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
				_, err := mail.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
				if (err == nil) != good {
					t.Errorf("extended key usage %d: want accepted %t, found %v", usage, good, err)
				}
			}
			header := strings.TrimSpace(mustRunScript(t, dir, "header.sh", "team-social+eu-1-a.crt"))
			for _, anchor := range []string{"ca.crt", "ca.pub"} {
				if client := scriptClient(t, harness.ReadFile(t, dir, anchor), 2048, header); client != "team/social+eu:1 a" {
					t.Errorf("%s: want the whole name, found %q", anchor, client)
				}
			}
		})
	}
}

// TestSitePointScriptPlain checks that --plain makes a certificate without extensions, as
// the article does.
func TestSitePointScriptPlain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRunScript(t, dir, "sitepoint.sh", "--dir", dir, "--ou", "mail", "--algorithm", "p256", "--plain")
	certificate := readScriptCertificate(t, dir, "mail.crt")
	if certificate.SerialNumber.String() != "1" || len(certificate.ExtKeyUsage) != 0 {
		t.Errorf("want serial 1 and no extended key usage, found %s and %v", certificate.SerialNumber, certificate.ExtKeyUsage)
	}
	header := strings.TrimSpace(mustRunScript(t, dir, "header.sh", "mail.crt"))
	if client := scriptClient(t, harness.ReadFile(t, dir, "ca.crt"), 2048, header); client != "mail" {
		t.Errorf("want the client mail, found %q", client)
	}
}

// TestSitePointScriptRenews checks that a renewal keeps the client's key.
func TestSitePointScriptRenews(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	arguments := []string{"--dir", dir, "--ou", "mail", "--algorithm", "ed25519"}
	mustRunScript(t, dir, "sitepoint.sh", arguments...)
	key, before := harness.ReadFile(t, dir, "mail.key"), readScriptCertificate(t, dir, "mail.crt")
	mustRunScript(t, dir, "sitepoint.sh", append(arguments, "--keep-key")...)
	after := readScriptCertificate(t, dir, "mail.crt")
	if !bytes.Equal(key, harness.ReadFile(t, dir, "mail.key")) {
		t.Error("want the key kept")
	}
	if before.SerialNumber.Cmp(after.SerialNumber) == 0 || !bytes.Equal(before.RawSubjectPublicKeyInfo, after.RawSubjectPublicKeyInfo) {
		t.Error("want another certificate over the same key")
	}
}

// TestScriptsRefuseWrongArguments checks exit codes and messages for wrong arguments.
func TestScriptsRefuseWrongArguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRunScript(t, dir, "master-key.sh", "--dir", ".", "--algorithm", "ed25519")
	mustRunScript(t, dir, "sitepoint.sh", "--dir", ".", "--ou", "mail", "--algorithm", "ed25519", "--ca-days", "100")
	tests := []struct {
		name string
		line []string
		code int
		want string
	}{
		{"overwrite the master key", []string{"master-key.sh", "--dir", "."}, 1, "master.key exists; a private key is never overwritten"},
		{"overwrite a client's key", []string{"sitepoint.sh", "--dir", ".", "--ou", "mail"}, 1, "mail.key exists; a private key is never overwritten"},
		{"keep a key that is not there", []string{"sitepoint.sh", "--dir", ".", "--ou", "social", "--keep-key"}, 1, "no ./social.key to keep"},
		{"outlive the CA", []string{"sitepoint.sh", "--dir", ".", "--ou", "social", "--days", "101"}, 1, "ca.crt ends within 101 days"},
		{"no master key", []string{"collective-idea.sh", "--dir", "empty", "--ou", "mail"}, 1, "no empty/master.key"},
		{"no OU", []string{"sitepoint.sh", "--dir", "."}, 2, "--ou is missing"},
		{"no OU of 2012", []string{"collective-idea.sh", "--dir", "."}, 2, "--ou is missing"},
		{"OU without value", []string{"sitepoint.sh", "--ou"}, 2, "--ou: want a value"},
		{"OU with a comma", []string{"sitepoint.sh", "--dir", ".", "--ou", "a,b"}, 2, "--ou: want 1 to 64 letters"},
		{"OU with a newline", []string{"sitepoint.sh", "--dir", ".", "--ou", "a\nb"}, 2, "--ou: want 1 to 64 letters"},
		{"OU with two spaces", []string{"sitepoint.sh", "--dir", ".", "--ou", "a  b"}, 2, "--ou: want 1 to 64 letters"},
		{"OU not ASCII", []string{"sitepoint.sh", "--dir", ".", "--ou", "mäil"}, 2, "--ou: want 1 to 64 letters"},
		{"OU of 65", []string{"sitepoint.sh", "--dir", ".", "--ou", strings.Repeat("a", 65)}, 2, "--ou: want 1 to 64 letters"},
		{"OU that is the CA's file", []string{"sitepoint.sh", "--dir", ".", "--ou", "ca"}, 2, "want another --name"},
		{"name with a directory", []string{"sitepoint.sh", "--dir", ".", "--ou", "a", "--name", "../../a"}, 2, "--name: want a file name"},
		{"no days", []string{"sitepoint.sh", "--dir", ".", "--ou", "a", "--days", "0"}, 2, "--days: want"},
		{"small key", []string{"master-key.sh", "--dir", "x", "--bits", "512"}, 2, "--bits: want"},
		{"bits of P-256", []string{"master-key.sh", "--dir", "x", "--algorithm", "p256", "--bits", "2048"}, 2, "--bits is for rsa"},
		{"unknown algorithm", []string{"master-key.sh", "--dir", "x", "--algorithm", "dsa"}, 2, "--algorithm: want"},
		{"unknown flag", []string{"master-key.sh", "--force"}, 2, "unknown argument '--force'"},
		{"header of a key", []string{"header.sh", "mail.key"}, 1, "holds a private key"},
		{"header of a public key", []string{"header.sh", "master.pub"}, 1, "want one PEM certificate in master.pub, found 0"},
		{"header of nothing", []string{"header.sh", "none.crt"}, 1, "no readable file none.crt"},
		{"header without file", []string{"header.sh"}, 2, "want a FILE"},
		{"header of two files", []string{"header.sh", "mail.crt", "ca.crt"}, 2, "want one FILE"},
		{"header form", []string{"header.sh", "mail.crt", "--form", "hex"}, 2, "--form: want"},
	}
	before := scriptTree(t, dir)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := runScript(t, dir, "", test.line[0], test.line[1:]...)
			if result.code != test.code || !strings.Contains(result.stderr, test.want) || result.stdout != "" {
				t.Errorf("want exit %d and %q, found %d and %q", test.code, test.want, result.code, result.stderr)
			}
		})
	}
	if after := scriptTree(t, dir); after != before {
		t.Errorf("want refusals to write nothing, found\n%s\nand before\n%s", after, before)
	}
}

// scriptTree returns the names and contents of all files in dir as one text.
func scriptTree(t *testing.T, dir string) string {
	t.Helper()
	var tree strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			tree.WriteString(path + "\n" + string(harness.ReadFile(t, dir, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree.String()
}

// TestScriptsHelp checks that every script prints its help.
func TestScriptsHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"master-key.sh", "collective-idea.sh", "sitepoint.sh", "header.sh", "bench.sh"} {
		help := mustRunScript(t, t.TempDir(), name, "--help")
		for _, want := range []string{"Usage: scripts/" + name, "Example:", "Exit code:"} {
			if !strings.Contains(help, want) {
				t.Errorf("%s --help: want %q, found %s", name, want, help)
			}
		}
	}
}
