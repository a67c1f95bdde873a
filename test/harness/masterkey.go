package harness

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// MasterKey is a master key with the folder in which openssl keeps its files.
type MasterKey struct {
	mu sync.Mutex // held by Issue, because all calls share the database of openssl ca and other files

	Dir               string
	KeyFile, CertFile string // files
	PublicKey         string // PEM
}

// CaConfig configures openssl req and openssl ca.
const CaConfig = `[ca]
default_ca = this
[this]
database = index.txt
unique_subject = no
new_certs_dir = .
rand_serial = yes
default_md = default
policy = any
[any]
[req]
distinguished_name = dn
string_mask = utf8only
[dn]
`

// NewMasterKey creates a master key of an algorithm: rsa, rsa4096, rsa1024, p256 or
// ed25519.
func NewMasterKey(t *testing.T, algorithm string) *MasterKey {
	t.Helper()
	SkipIfShort(t)
	m := &MasterKey{Dir: t.TempDir(), KeyFile: "master.key", CertFile: "master.crt"}
	m.WriteFile(t, "ca.cnf", CaConfig)
	m.WriteFile(t, "index.txt", "")
	key := m.newKey(t, m.KeyFile, algorithm)
	root := ca.NewWithKey(t, key, monthFromNow, subjectOf("/CN=master"))
	m.WriteFile(t, m.CertFile, string(root.CertificatePEM()))
	m.PublicKey = string(root.PublicKeyPEM())
	KeepPEM([]byte(m.PublicKey))
	KeepPEM(m.ReadFile(t, m.CertFile))
	return m
}

// newKey returns the private key in the file. It creates the file unless it exists.
func (m *MasterKey) newKey(t *testing.T, file, algorithm string) crypto.Signer {
	t.Helper()
	if _, err := os.Stat(filepath.Join(m.Dir, file)); err != nil {
		m.WriteFile(t, file, string(ca.KeyPEM(t, newKey(t, algorithm))))
		KeepPEM(m.ReadFile(t, file))
	}
	return m.ReadKey(t, file)
}

// CertificateOptions describe a certificate. The zero value is a client certificate as
// sitepoint.sh makes it, valid for ten days.
type CertificateOptions struct {
	Subject    string // as openssl's -subj
	Extensions string // ClientExtensions by default
	Key        string // algorithm of the client's key, p256 by default
	Digest     string // openssl's default for the master key, if empty
	NotBefore  time.Time
	NotAfter   time.Time
}

// OU returns the options for a client with the organizational unit.
func OU(ou string) CertificateOptions { return CertificateOptions{Subject: "/OU=" + ou} }

// ClientExtensions are the X.509 extensions of a client certificate.
const ClientExtensions = `basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
`

// Issue signs a certificate with the master key: with openssl, unless the options are plain.
func (m *MasterKey) Issue(t *testing.T, o CertificateOptions) Certificate {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	const form = "20060102150405Z"
	if o.NotBefore.IsZero() {
		o.NotBefore = time.Now().Add(-time.Hour)
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = time.Now().Add(240 * time.Hour)
	}
	algorithm := cmp.Or(o.Key, "p256")
	key := m.newKey(t, algorithm+".key", algorithm)
	if o.isPlain() {
		return NewCertificate(t, m.issue(t, o, key))
	}
	m.WriteFile(t, "client.cnf", cmp.Or(o.Extensions, ClientExtensions))
	m.Openssl(t, "req", "-new", "-config", "ca.cnf", "-utf8", "-key", algorithm+".key", "-subj", o.Subject, "-out", "client.csr")
	m.Openssl(t, "ca", "-batch", "-preserveDN", "-config", "ca.cnf", "-notext", "-utf8", "-in", "client.csr", "-out", "client.crt",
		"-cert", m.CertFile, "-keyfile", m.KeyFile, "-md", cmp.Or(o.Digest, "default"), "-extfile", "client.cnf",
		"-startdate", o.NotBefore.UTC().Format(form), "-enddate", o.NotAfter.UTC().Format(form))
	return NewCertificate(t, m.ReadFile(t, "client.crt"))
}

// IssueOverMasterKey signs a certificate over the master key itself, as the recipe of 2012
// does.
func (m *MasterKey) IssueOverMasterKey(t *testing.T, ou string) Certificate {
	t.Helper()
	m.Openssl(t, "req", "-new", "-key", m.KeyFile, "-subj", "/OU="+ou, "-out", "shared.csr")
	m.Openssl(t, "x509", "-req", "-in", "shared.csr", "-signkey", m.KeyFile, "-days", "10", "-out", "shared.crt")
	return NewCertificate(t, m.ReadFile(t, "shared.crt"))
}

// WriteFile writes a file in the folder of the master key.
func (m *MasterKey) WriteFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ReadFile reads a file in the folder of the master key.
func (m *MasterKey) ReadFile(t *testing.T, name string) []byte {
	t.Helper()
	return ReadFile(t, m.Dir, name)
}

// Openssl runs openssl in the folder of the master key and returns its standard output.
func (m *MasterKey) Openssl(t *testing.T, args ...string) string {
	t.Helper()
	return openssl(t, m.Dir, args...)
}

// openssl runs openssl in a folder and returns its standard output.
func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), LookProgram(t, "openssl"), args...)
	command.Dir, command.Stdout, command.Stderr = dir, &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", args[0], err, &stderr)
	}
	return stdout.String()
}

// ReadKey parses a private key in the folder of the master key.
func (m *MasterKey) ReadKey(t *testing.T, file string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(m.ReadFile(t, file))
	if block == nil {
		t.Fatal("want a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}
