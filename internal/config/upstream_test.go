package config_test

import (
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestUpstreamFiles loads an environment with files for TLS to the upstream. Each faulty
// file differs from a good one in one way.
func TestUpstreamFiles(t *testing.T) {
	authority, key := ca.New(t), ca.Key(t)
	cert := ca.PEM(authority.Client(t, key.Public()))
	good, root := ca.KeyPEM(t, key), authority.CertificatePEM()
	bundle := append([]byte("# first\n"), append(append(ca.New(t).CertificatePEM(), "# second\n"...), root...)...)
	const damaged = "with a damaged or incomplete PEM block, want PEM certificates"
	tests := []struct {
		name          string
		ca, cert, key []byte
		want          string // contained in the error; none if empty
	}{
		{"all files", root, cert, good, ""},
		{"comments between CAs", bundle, cert, good, ""},
		{"a chain", root, append(append([]byte{}, cert...), root...), good, ""},
		{"an empty list of CAs", nil, cert, good, `UPSTREAM_CA_FILE: found "ca.pem" without a PEM block, want PEM certificates`},
		{"half of a CA", root[:len(root)/2], cert, good, `UPSTREAM_CA_FILE: found "ca.pem" ` + damaged},
		{"half of the second CA", bundle[:len(bundle)-100], cert, good, `UPSTREAM_CA_FILE: found "ca.pem" ` + damaged},
		{"a key among the CAs", append(append([]byte{}, root...), good...), cert, good, `UPSTREAM_CA_FILE: found a PEM block "PRIVATE KEY" in "ca.pem", want certificates only`},
		{"half of the certificate", root, cert[:len(cert)/2], good, `UPSTREAM_CERT_FILE: found "cert.pem" ` + damaged},
		{"half of the chain", root, append(append([]byte{}, cert...), root[:100]...), good, `UPSTREAM_CERT_FILE: found "cert.pem" ` + damaged},
		{"half of the key", root, cert, good[:len(good)/2], `UPSTREAM_KEY_FILE: found "key.pem", want the private key of UPSTREAM_CERT_FILE`},
		{"another key", root, cert, ca.KeyPEM(t, ca.Key(t)), `UPSTREAM_KEY_FILE: found "key.pem", want the private key of UPSTREAM_CERT_FILE: tls: private key does not match public key`},
		{"an encrypted key", root, cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}}), `UPSTREAM_KEY_FILE: found an encrypted private key in "key.pem", want one without a password`},
		{"two faults", root, good, nil, `UPSTREAM_CERT_FILE: found a PEM block "PRIVATE KEY" in "cert.pem", want certificates only`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			environ := required(t)
			environ["UPSTREAM_URL"] = "https://schedule"
			for variable, file := range map[string]struct {
				name string
				text []byte
			}{"UPSTREAM_CA_FILE": {"ca.pem", tt.ca}, "UPSTREAM_CERT_FILE": {"cert.pem", tt.cert}, "UPSTREAM_KEY_FILE": {"key.pem", tt.key}} {
				environ[variable] = file.name
				if err := os.WriteFile(file.name, file.text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := config.Load(environ)
			switch {
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("want the fault %s, found %v", tt.want, err)
				}
				if err != nil && strings.Contains(err.Error(), strings.Split(string(good), "\n")[1]) {
					t.Error("want no content of the key in the error")
				}
			case err != nil:
				t.Error(err)
			case c.UpstreamSecurity.Roots == nil || c.UpstreamSecurity.Certificate == nil:
				t.Error("want the certificates of the files")
			}
		})
	}
}

// TestUpstreamRelations checks the settings for TLS to the upstream together with
// UPSTREAM_URL and with each other.
func TestUpstreamRelations(t *testing.T) {
	dir, key := t.TempDir(), ca.Key(t)
	authority := ca.New(t)
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caFile := file("ca", authority.CertificatePEM())
	certFile, keyFile := file("c", ca.PEM(authority.Client(t, key.Public()))), file("k", ca.KeyPEM(t, key))
	tests := []struct {
		name    string
		environ map[string]string
		want    string // contained in the error; none if empty
	}{
		{"a name", map[string]string{"UPSTREAM_URL": "https://a", "UPSTREAM_SERVER_NAME": "Schedule.Internal"}, ""},
		{"an address", map[string]string{"UPSTREAM_URL": "https://a", "UPSTREAM_SERVER_NAME": "::1"}, ""},
		{"CAs and http", map[string]string{"UPSTREAM_URL": "http://a", "UPSTREAM_CA_FILE": caFile}, `with UPSTREAM_URL "http://a", want https:// in UPSTREAM_URL, or no UPSTREAM_CA_FILE`},
		{"a certificate and http", map[string]string{"UPSTREAM_URL": "http://a", "UPSTREAM_CERT_FILE": certFile, "UPSTREAM_KEY_FILE": keyFile}, "want https:// in UPSTREAM_URL, or no UPSTREAM_CERT_FILE"},
		{"a key and a socket", map[string]string{"UPSTREAM_URL": "unix:/a", "UPSTREAM_CERT_FILE": certFile, "UPSTREAM_KEY_FILE": keyFile}, "want https:// in UPSTREAM_URL, or no UPSTREAM_KEY_FILE"},
		{"a name and a socket", map[string]string{"UPSTREAM_URL": "unix:/a", "UPSTREAM_SERVER_NAME": "a"}, `UPSTREAM_SERVER_NAME: found "a" with UPSTREAM_URL "unix:/a", want https:// in UPSTREAM_URL, or no UPSTREAM_SERVER_NAME`},
		{"a certificate without a key", map[string]string{"UPSTREAM_URL": "https://a", "UPSTREAM_CERT_FILE": certFile}, "UPSTREAM_KEY_FILE: found nothing with UPSTREAM_CERT_FILE, want the name of a readable file with the PEM private key of UPSTREAM_CERT_FILE"},
		{"a key without a certificate", map[string]string{"UPSTREAM_URL": "https://a", "UPSTREAM_KEY_FILE": keyFile}, "UPSTREAM_CERT_FILE: found nothing with UPSTREAM_KEY_FILE, want the name of a readable file with the PEM certificate of UPSTREAM_KEY_FILE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			maps.Copy(environ, tt.environ)
			_, err := config.Load(environ)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}
