package test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
)

// master is a master key made by openssl, and a CA certificate over it.
type master struct {
	mu sync.Mutex // openssl ca keeps one book, and issue one set of files

	dir       string
	key, cert string // files
	publicKey string // PEM
}

const caConfig = `[ca]
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
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`

// newMaster makes a master key of an algorithm: rsa, rsa4096, rsa1024, p256 or ed25519.
func newMaster(t *testing.T, algorithm string) *master {
	t.Helper()
	m := &master{dir: t.TempDir(), key: "master.key", cert: "master.crt"}
	m.write(t, "ca.cnf", caConfig)
	m.write(t, "index.txt", "")
	m.newKey(t, m.key, algorithm)
	m.openssl(t, "req", "-new", "-x509", "-config", "ca.cnf", "-extensions", "root", "-key", m.key,
		"-subj", "/CN=master", "-days", "30", "-out", m.cert)
	m.publicKey = m.openssl(t, "pkey", "-in", m.key, "-pubout")
	run.secrets.keepPEM([]byte(m.publicKey))
	run.secrets.keepPEM(m.read(t, m.cert))
	return m
}

// newKey writes a private key, unless the file is there.
func (m *master) newKey(t *testing.T, file, algorithm string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(m.dir, file)); err == nil {
		return
	}
	options := map[string][]string{
		"rsa":     {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"rsa4096": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"},
		"rsa1024": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"},
		"p256":    {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"},
		"p384":    {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"},
		"ed25519": {"-algorithm", "ED25519"},
	}[algorithm]
	m.openssl(t, append([]string{"genpkey", "-out", file}, options...)...)
	run.secrets.keepPEM(m.read(t, file))
}

// certificateOptions say what a certificate is to be; the zero value is a
// client certificate as sitepoint.sh makes them, valid for ten days.
type certificateOptions struct {
	subject    string // as openssl's -subj
	extensions string // instead of the usual ones
	key        string // algorithm of the client's key, p256 by default
	digest     string // sha256 by default, where the master key needs one
	notBefore  time.Time
	notAfter   time.Time
}

func subject(ou string) certificateOptions { return certificateOptions{subject: "/OU=" + ou} }

const clientExtensions = `basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
`

// issue signs a certificate.
func (m *master) issue(t *testing.T, o certificateOptions) certificate {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	const form = "20060102150405Z"
	if o.notBefore.IsZero() {
		o.notBefore = time.Now().Add(-time.Hour)
	}
	if o.notAfter.IsZero() {
		o.notAfter = time.Now().Add(240 * time.Hour)
	}
	key := cmp.Or(o.key, "p256")
	m.newKey(t, key+".key", key)
	m.write(t, "client.cnf", cmp.Or(o.extensions, clientExtensions))
	m.openssl(t, "req", "-new", "-config", "ca.cnf", "-utf8", "-key", key+".key", "-subj", o.subject, "-out", "client.csr")
	m.openssl(t, "ca", "-batch", "-preserveDN", "-config", "ca.cnf", "-notext", "-utf8", "-in", "client.csr", "-out", "client.crt",
		"-cert", m.cert, "-keyfile", m.key, "-md", cmp.Or(o.digest, "default"), "-extfile", "client.cnf",
		"-startdate", o.notBefore.UTC().Format(form), "-enddate", o.notAfter.UTC().Format(form))
	return newCertificate(t, m.read(t, "client.crt"))
}

// share makes a certificate over the master key itself, as the recipe of 2012 does.
func (m *master) share(t *testing.T, ou string) certificate {
	t.Helper()
	m.openssl(t, "req", "-new", "-key", m.key, "-subj", "/OU="+ou, "-out", "shared.csr")
	m.openssl(t, "x509", "-req", "-in", "shared.csr", "-signkey", m.key, "-days", "10", "-out", "shared.crt")
	return newCertificate(t, m.read(t, "shared.crt"))
}

func (m *master) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *master) read(t *testing.T, name string) []byte {
	t.Helper()
	return readScriptFile(t, m.dir, name)
}

func (m *master) openssl(t *testing.T, args ...string) string {
	t.Helper()
	return openssl(t, m.dir, args...)
}

// openssl runs the real program in dir and returns its standard output.
func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "openssl", args...)
	command.Dir, command.Stdout, command.Stderr = dir, &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", args[0], err, &stderr)
	}
	return stdout.String()
}

// certificate is one client's certificate.
type certificate struct {
	pem    []byte
	parsed *x509.Certificate
}

func newCertificate(t *testing.T, text []byte) certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("want a PEM certificate")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	run.secrets.keepPEM(text)
	return certificate{text, parsed}
}

// header is the certificate as a header value.
func (c certificate) header(form certheader.Form) string {
	return certheader.Encode(form, c.parsed.Raw)
}

// serial is what the gateway calls it: hex, an even number of digits.
func (c certificate) serial() string { return fmt.Sprintf("%x", c.parsed.SerialNumber.Bytes()) }

// fingerprint is what the upstream is told.
func (c certificate) fingerprint() string {
	return fmt.Sprintf("%x", sha256.Sum256(c.parsed.RawTBSCertificate))
}

// spki is what a deny list names.
func (c certificate) spki() string {
	sum := sha256.Sum256(c.parsed.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// keyID is what the gateway calls a public key in its log.
func keyID(t *testing.T, publicKey string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(publicKey))
	if block == nil || !strings.HasSuffix(block.Type, "PUBLIC KEY") {
		t.Fatal("want a PEM public key")
	}
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))[:16]
}
