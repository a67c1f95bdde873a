package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// shell runs the commands of a recipe and returns their output.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), harness.LookProgram(t, "bash"), "-euo", "pipefail", "-c", script)
	command.Dir = dir
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(printed)
}

// collectiveIdea is the recipe of the first article: the client's certificate has the master
// key as its public key. The commands print the header value.
const collectiveIdea = `
openssl genrsa -out master.key %d
openssl req -new -key master.key -subj /OU=mail -out mail.csr
openssl x509 -req -in mail.csr -signkey master.key -out mail.crt
openssl base64 -A -in mail.crt`

// sitePoint is the recipe of the second article, in which the client has a key of its own.
const sitePoint = `
openssl genrsa -out ca.key %[1]d
openssl req -new -x509 -key ca.key -subj /CN=ca -out ca.crt
openssl genrsa -out client.key %[1]d
openssl req -new -key client.key -subj /OU=mail -out client.csr
openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -set_serial 01 -out client.crt
openssl base64 -A -in client.crt`

const (
	masterPublicKey = "openssl rsa -in master.key -pubout"
	caPublicKey     = "openssl rsa -in ca.key -pubout"
)

// TestRecipesOf2012 runs the recipes of the articles of 2012 with keys of 2048 bits.
func TestRecipesOf2012(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ recipe, anchor string }{
		"Collective Idea":                  {collectiveIdea, masterPublicKey},
		"SitePoint":                        {sitePoint, caPublicKey},
		"SitePoint with the CA's own file": {sitePoint, "cat ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			header := shell(t, dir, fmt.Sprintf(test.recipe, 2048))
			u := harness.NewUpstream(t, nil)
			g := harness.StartGateway(t, u, harness.GatewayEnv(shell(t, dir, test.anchor), u))
			head := g.WantAllowed(t, harness.GetWithCredential(header))
			if found := harness.HeaderValues(head, "X-Client-Id"); len(found) != 1 || found[0] != "mail" {
				t.Errorf("want the client mail, found %q", found)
			}
			g.WantRefused(t, harness.GetWithCredential(header[:len(header)-8]), refusal.CredentialMalformed)
		})
	}
}

// TestRecipesOf2012With1024Bits checks that keys of 1024 bits are accepted only where the
// operator allows them.
func TestRecipesOf2012With1024Bits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ recipe, anchor string }{
		"Collective Idea": {collectiveIdea, masterPublicKey},
		"SitePoint":       {sitePoint, caPublicKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			header := shell(t, dir, fmt.Sprintf(test.recipe, 1024))
			u := harness.NewUpstream(t, nil)
			env := harness.GatewayEnv(shell(t, dir, test.anchor), u)
			result := harness.Run(t, "certgate", env, "serve")
			if result.ExitCode != 2 || !strings.Contains(result.Stderr, `"variable":"AUTH_PUBLIC_KEY"`) || !strings.Contains(result.Stderr, "1024") {
				t.Errorf("want exit code 2 for AUTH_PUBLIC_KEY, found %+v", result)
			}
			g := harness.StartGateway(t, u, env.With(harness.Env{"AUTH_MIN_RSA_BITS": "1024"}))
			g.WantAllowed(t, harness.GetWithCredential(header))
			if !strings.Contains(g.Stderr.String(), `"warning":"AUTH_MIN_RSA_BITS: `) {
				t.Error("want a warning in the log, found none")
			}
		})
	}
}

// TestShortClientKeyIsRefused checks that the minimum size applies to the client's key,
// too.
func TestShortClientKeyIsRefused(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	mail := m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa1024"})
	harness.NewGateway(t, m, harness.Env{"AUTH_MIN_RSA_BITS": "1024"}).WantAllowed(t, harness.Get("/events", mail))
	harness.NewGateway(t, m, nil).WantRefused(t, harness.Get("/events", mail), refusal.CertificateWeak)
}

// TestScriptsToResponse runs the scripts from the master key to an accepted request.
func TestScriptsToResponse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRunScript(t, dir, "master-key.sh", "--dir", dir)
	mustRunScript(t, dir, "collective-idea.sh", "--dir", dir, "--ou", "mail")
	mustRunScript(t, dir, "sitepoint.sh", "--dir", dir, "--ou", "social")
	header := func(file string) string {
		harness.KeepPEM(harness.ReadFile(t, dir, file))
		return strings.TrimSpace(mustRunScript(t, dir, "header.sh", file))
	}
	for _, test := range []struct{ anchor, client, otherKey string }{
		{"master.pub", "mail", "social"},
		{"ca.pub", "social", "mail"},
		{"ca.crt", "social", "mail"},
	} {
		t.Run(test.anchor, func(t *testing.T) {
			t.Parallel()
			u := harness.NewUpstream(t, nil)
			env := harness.GatewayEnv("", u).Without("AUTH_PUBLIC_KEY").With(harness.Env{"AUTH_PUBLIC_KEY_FILE": filepath.Join(dir, test.anchor)})
			g := harness.StartGateway(t, u, env)
			head := g.WantAllowed(t, harness.GetWithCredential(header(test.client+".crt")))
			if found := harness.HeaderValues(head, "X-Client-Id"); len(found) != 1 || found[0] != test.client {
				t.Errorf("want the client %s, found %q", test.client, found)
			}
			g.WantRefused(t, harness.GetWithCredential(header(test.otherKey+".crt")), refusal.CertificateUntrusted)
		})
	}
}

// TestAlgorithmsAndForms uses every kind of key, as public key and as CA certificate, with
// every form of header.
func TestAlgorithmsAndForms(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"rsa", "p256", "ed25519"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			m, otherKey := harness.NewMasterKey(t, algorithm), harness.NewMasterKey(t, algorithm)
			mail := m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Key: algorithm})
			forged := otherKey.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Key: algorithm})
			for name, anchor := range map[string]string{"key": m.PublicKey, "certificate": string(m.ReadFile(t, m.CertFile))} {
				u := harness.NewUpstream(t, nil)
				g := harness.StartGateway(t, u, harness.GatewayEnv(anchor, u))
				for _, form := range []certheader.Form{certheader.Base64PEM, certheader.Base64DER, certheader.PercentPEM} {
					t.Run(name+"/"+string(form), func(t *testing.T) {
						head := g.WantAllowed(t, harness.GetWithCredential(mail.HeaderValue(form)))
						wantIdentity(t, head, "mail", mail)
						g.WantRefused(t, harness.GetWithCredential(forged.HeaderValue(form)), refusal.CertificateUntrusted)
					})
				}
			}
		})
	}
}

// wantIdentity checks all identity headers of an upstream request.
func wantIdentity(t *testing.T, head []string, client string, c harness.Certificate) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Client-Id": client, "X-Client-Auth": "bearer",
		"X-Client-Cert-Serial": c.Serial(), "X-Client-Cert-Fingerprint": c.Fingerprint(),
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "app.example",
	} {
		if found := harness.HeaderValues(head, name); len(found) != 1 || found[0] != want {
			t.Errorf("%s: want %q once, found %q", name, want, found)
		}
	}
	if found := harness.HeaderValues(head, "X-SSL-Auth"); len(found) != 0 {
		t.Error("want no credential at the upstream, found one")
	}
}

// TestRecipesExtractTheCertificate: no document and no script attaches the base64 of
// a whole certificate file, which may also hold a private key.
func TestRecipesExtractTheCertificate(t *testing.T) {
	t.Parallel()
	whole := regexp.MustCompile(`base64 [^|\n]*\.(crt|pem|cer)\b`)
	err := filepath.WalkDir(harness.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		help := filepath.Dir(path) == filepath.Join(harness.Root, "cmd", "certgate") && !strings.HasSuffix(path, "_test.go")
		if ext := filepath.Ext(path); ext != ".md" && ext != ".sh" && !help {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, recipe := range whole.FindAllString(string(text), -1) {
			t.Errorf("%s: want only the certificate of the file, found %q", path, recipe)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
