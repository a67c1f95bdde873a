package pki

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl runs openssl in a folder and returns its output.
func openssl(t *testing.T, dir string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.Command("openssl", arguments...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	return string(output), err
}

func write(t *testing.T, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOpenSSLVerifies checks that openssl reads and verifies keys and certificates of this
// package. It uses the real clock, as openssl does.
func TestOpenSSLVerifies(t *testing.T) {
	for _, algorithm := range []Algorithm{Ed25519, P256, RSA2048} {
		t.Run(string(algorithm), func(t *testing.T) {
			if testing.Short() && algorithm == RSA2048 {
				t.Skip("-short: this test makes three RSA keys")
			}
			dir := t.TempDir()
			options := Options{Name: "Example CA", Algorithm: algorithm, Lifetime: year, Now: time.Now()}
			a, other := mustNew(t, options), mustNew(t, options)
			key := mustGenerate(t, algorithm)
			certificate, err := a.Issue(Request{Client: "mail", PublicKey: key.Public(), Lifetime: day, Now: time.Now()})
			wantError(t, err, "")
			write(t, dir, "ca.crt", a.CertificatePEM())
			write(t, dir, "other.crt", other.CertificatePEM())
			write(t, dir, "ca.pub", a.PublicKeyPEM())
			write(t, dir, "mail.crt", EncodeCertificate(certificate))
			write(t, dir, "mail.key", encode(t, key))

			for _, line := range []string{
				"verify -x509_strict -CAfile ca.crt -purpose sslclient mail.crt",
				"verify -x509_strict -CAfile ca.crt ca.crt",
				"pkey -pubin -in ca.pub -noout",
				"pkey -in mail.key -noout",
			} {
				if output, err := openssl(t, dir, strings.Fields(line)...); err != nil {
					t.Errorf("openssl %s: %v\n%s", line, err, output)
				}
			}
			for _, line := range []string{
				"verify -CAfile other.crt -purpose sslclient mail.crt",
				"verify -CAfile ca.crt -purpose sslserver mail.crt",
			} {
				if output, err := openssl(t, dir, strings.Fields(line)...); err == nil {
					t.Errorf("openssl %s: want an error, found %s", line, output)
				}
			}
			checkText(t, dir)
		})
	}
}

func checkText(t *testing.T, dir string) {
	t.Helper()
	text, err := openssl(t, dir, "x509", "-in", "mail.crt", "-noout", "-text", "-nameopt", "RFC2253")
	wantError(t, err, "")
	for _, want := range []string{
		"Version: 3", "Issuer: CN=Example CA", "Subject: CN=mail,OU=mail",
		"Basic Constraints: critical", "CA:FALSE", "Key Usage: critical", "Digital Signature",
		"TLS Web Client Authentication", "Authority Key Identifier",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in the certificate, found\n%s", want, text)
		}
	}
}

// TestLoadOpenSSL checks that Load reads keys of openssl in every form.
func TestLoadOpenSSL(t *testing.T) {
	tests := []struct{ name, make string }{
		{"RSA", "genrsa -out ca.key 2048"},
		{"RSA traditional", "genrsa -traditional -out ca.key 2048"},
		{"EC with parameters", "ecparam -name prime256v1 -genkey -out ca.key"},
		{"Ed25519", "genpkey -algorithm ED25519 -out ca.key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(test.name, "RSA") {
				t.Skip("-short: this test makes an RSA key")
			}
			dir := t.TempDir()
			for _, line := range []string{test.make, "req -new -x509 -key ca.key -subj /CN=ca -days 30 -out ca.crt"} {
				if output, err := openssl(t, dir, strings.Fields(line)...); err != nil {
					t.Fatalf("openssl %s: %v\n%s", line, err, output)
				}
			}
			key, err := os.ReadFile(filepath.Join(dir, "ca.key"))
			wantError(t, err, "")
			certificate, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
			wantError(t, err, "")
			a, err := Load(key, certificate)
			wantError(t, err, "")
			_, err = a.Issue(Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: time.Now()})
			wantError(t, err, "")
		})
	}
}
