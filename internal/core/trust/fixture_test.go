package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// opensslCA makes keys and certificates with openssl in its own directory. Names are
// file names: key "ca" is ca.key, and its certificate is ca.crt.
type opensslCA struct {
	tb  testing.TB
	dir string
}

func newOpenSSL(tb testing.TB) opensslCA {
	tb.Helper()
	o := opensslCA{tb: tb, dir: tb.TempDir()}
	// The machine's openssl.cnf must not influence the fixtures.
	o.write("req.cnf", "[req]\ndistinguished_name=dn\n[dn]\n")
	return o
}

func (o opensslCA) openssl(args ...string) []byte {
	o.tb.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = o.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		o.tb.Fatalf("openssl %s: %v\n%s", args[0], err, stderr.Bytes())
	}
	return out
}

func (o opensslCA) write(name, text string) {
	o.tb.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
		o.tb.Fatal(err)
	}
}

func (o opensslCA) read(name string) []byte {
	o.tb.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.tb.Fatal(err)
	}
	return text
}

// key writes NAME.key. The kind is "rsa:BITS", "ec:CURVE" or the name of an algorithm.
// Tests share the cached keys, and one opensslCA gets each key once.
func (o opensslCA) key(name, kind string) {
	o.tb.Helper()
	o.write(name+".key", string(shared.key(o, kind)))
}

// newKey returns a new key of a kind in PEM, which is the one with the number i of the kind.
func (o opensslCA) newKey(kind string, i int) []byte {
	o.tb.Helper()
	algorithm, parameter, _ := strings.Cut(kind, ":")
	switch {
	case algorithm == "ec", kind == "ed25519":
		return newPrivateKey(o.tb, kind)
	case algorithm == "rsa" && parameter != "512" && i < ca.RSAKeys:
		bits, err := strconv.Atoi(parameter)
		if err != nil {
			o.tb.Fatal(err)
		}
		return ca.KeyPEM(o.tb, ca.RSAKey(o.tb, bits, i))
	case algorithm == "rsa":
		return o.openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:"+parameter)
	default:
		return o.openssl("genpkey", "-algorithm", algorithm)
	}
}

// newPrivateKey returns a PEM key made with the Go library.
func newPrivateKey(tb testing.TB, kind string) []byte {
	tb.Helper()
	var key any
	var err error
	if kind == "ed25519" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		curves := map[string]elliptic.Curve{"ec:P-224": elliptic.P224(), "ec:P-256": elliptic.P256(), "ec:P-384": elliptic.P384(), "ec:P-521": elliptic.P521()}
		key, err = ecdsa.GenerateKey(curves[kind], rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

// pool caches the keys and certificates of all tests, because making them takes most of
// the time of a test.
type pool struct {
	mu           sync.Mutex
	keys         map[string][][]byte // by kind
	used         map[string]int      // by directory and kind
	certificates map[string][]byte   // by all inputs
}

var shared = pool{keys: map[string][][]byte{}, used: map[string]int{}, certificates: map[string][]byte{}}

func (p *pool) key(o opensslCA, kind string) []byte {
	o.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.used[o.dir+kind]
	p.used[o.dir+kind]++
	if i == len(p.keys[kind]) {
		p.keys[kind] = append(p.keys[kind], o.newKey(kind, i))
	}
	return p.keys[kind][i]
}

// certificate returns the output of openssl with the arguments, from the cache if all
// inputs are equal: the arguments, the content of the files among them, and the key and
// subject of the request.
func (p *pool) certificate(o opensslCA, args []string, request ...string) []byte {
	o.tb.Helper()
	parts := slices.Clone(args)
	for i, name := range parts {
		if content, err := os.ReadFile(filepath.Join(o.dir, name)); err == nil && name != "client.csr" {
			parts[i] = string(content)
		}
	}
	id := strings.Join(append(parts, request...), "\x00")
	p.mu.Lock()
	text, known := p.certificates[id]
	p.mu.Unlock()
	if known {
		return text
	}
	if len(request) > 0 {
		o.request([]byte(request[0]), request[1])
	}
	text = o.openssl(args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certificates[id] = text
	return text
}

// public returns the PUBLIC KEY block of NAME.key.
func (o opensslCA) public(name string) []byte {
	o.tb.Helper()
	block, _ := pem.Decode(o.read(name + ".key"))
	if block == nil {
		o.tb.Fatalf("%s.key is not PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil { // an algorithm that crypto/x509 does not support
		return o.openssl("pkey", "-in", name+".key", "-pubout")
	}
	der, err := x509.MarshalPKIXPublicKey(key.(interface{ Public() crypto.PublicKey }).Public())
	if err != nil {
		return o.openssl("pkey", "-in", name+".key", "-pubout")
	}
	return pemOf("PUBLIC KEY", der)
}

// caExtensions are the extensions of a CA certificate.
const caExtensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"

// rootOptions describe a self-signed certificate over NAME.key, by default of a CA.
type rootOptions struct {
	name       string
	subject    string // default /O=Example/CN=Example CA
	days       int    // default 3650
	extensions string // default caExtensions
	out        string // default NAME.crt
}

func (o opensslCA) root(r rootOptions) []byte {
	o.tb.Helper()
	r.subject = or(r.subject, "/O=Example/CN=Example CA")
	r.extensions = or(r.extensions, caExtensions)
	r.out = or(r.out, r.name+".crt")
	if key := privateKey(o.read(r.name + ".key")); key != nil {
		name := dn(o.tb, r.subject)
		i := issue{issuer: name, subject: name, public: key.Public(), signer: key, serial: "1", days: or(r.days, 3650), extensions: r.extensions}
		if certificate, ok := i.pem(o.tb); ok {
			o.write(r.out, string(certificate))
			return certificate
		}
	}
	o.write("root.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[v3]\n"+r.extensions+"\n")
	args := []string{"req", "-new", "-x509", "-config", "root.cnf", "-extensions", "v3", "-key", r.name + ".key",
		"-subj", r.subject, "-days", strconv.Itoa(or(r.days, 3650))}
	certificate := shared.certificate(o, args)
	o.write(r.out, string(certificate))
	return certificate
}

// newCA makes NAME.key and its CA certificate.
func (o opensslCA) newCA(name, kind string) (public, certificate []byte) {
	o.tb.Helper()
	o.key(name, kind)
	certificate = o.root(rootOptions{name: name})
	return o.public(name), certificate
}

// clientOptions describe a client certificate. With ca and key only, it is a valid
// certificate without extensions (version 1), as in the articles.
type clientOptions struct {
	ca         string // signed with CA.key, issuer from CA.crt
	key        string // for KEY.key
	subject    string // default /O=Example/OU=mail/CN=mail
	digest     string // such as "-sha1"; default openssl's own
	extensions string // lines of openssl's x509v3_config
	serial     string // default 0x4f3a09
	more       []string
}

func (o opensslCA) client(w clientOptions) *x509.Certificate {
	o.tb.Helper()
	if certificate, ok := o.issue(w); ok {
		return parsed(o.tb, certificate)
	}
	args := []string{"x509", "-req", "-in", "client.csr", "-CA", w.ca + ".crt", "-CAkey", w.ca + ".key",
		"-set_serial", or(w.serial, "0x4f3a09"), "-days", "365"}
	if w.digest != "" {
		args = append(args, w.digest)
	}
	if w.extensions != "" {
		o.write("client.ext", w.extensions+"\n")
		args = append(args, "-extfile", "client.ext")
	}
	subject := or(w.subject, "/O=Example/OU=mail/CN=mail")
	return parsed(o.tb, shared.certificate(o, append(args, w.more...), string(o.read(w.key+".key")), subject))
}

// issue makes a client certificate without openssl, unless the options need openssl. Another
// digest than the default does so, except with -short.
func (o opensslCA) issue(w clientOptions) (certificate []byte, ok bool) {
	o.tb.Helper()
	signer, key := privateKey(o.read(w.ca+".key")), privateKey(o.read(w.key+".key"))
	days := 365
	if len(w.more) == 2 && w.more[0] == "-days" {
		days, _ = strconv.Atoi(w.more[1])
	} else if len(w.more) > 0 {
		return nil, false
	}
	if w.digest != "" && !testing.Short() || signer == nil || key == nil {
		return nil, false
	}
	i := issue{
		issuer: parsed(o.tb, o.read(w.ca+".crt")).RawSubject, subject: dn(o.tb, or(w.subject, "/O=Example/OU=mail/CN=mail")),
		public: key.Public(), signer: signer, digest: w.digest, serial: or(w.serial, "0x4f3a09"), days: days, extensions: w.extensions,
	}
	return i.pem(o.tb)
}

// request writes client.csr. It uses crypto/x509 if that supports the key, because
// starting openssl takes longer.
func (o opensslCA) request(key []byte, subject string) {
	o.tb.Helper()
	block, _ := pem.Decode(key)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		o.write("request.key", string(key))
		o.openssl("req", "-new", "-config", "req.cnf", "-key", "request.key", "-subj", subject, "-out", "client.csr")
		return
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: dn(o.tb, subject)}, private)
	if err != nil {
		o.tb.Fatal(err)
	}
	o.write("client.csr", string(pemOf("CERTIFICATE REQUEST", der)))
}

// intermediateOptions describe an intermediate. With name and ca only, it is a valid CA
// certificate.
type intermediateOptions struct {
	name       string // NAME.key is made unless it exists; NAME.crt is written
	ca         string
	kind       string // default ec:P-256
	subject    string // default /O=Example/CN=NAME
	digest     string
	extensions string // default caExtensions
	days       string // default 365
}

func (o opensslCA) intermediate(i intermediateOptions) *x509.Certificate {
	o.tb.Helper()
	if _, err := os.Stat(filepath.Join(o.dir, i.name+".key")); err != nil {
		o.key(i.name, or(i.kind, "ec:P-256"))
	}
	cert := o.client(clientOptions{
		ca: i.ca, key: i.name, subject: or(i.subject, "/O=Example/CN="+i.name), serial: "0x11", digest: i.digest,
		extensions: or(i.extensions, caExtensions), more: []string{"-days", or(i.days, "365")},
	})
	o.write(i.name+".crt", string(pemOf("CERTIFICATE", cert.Raw)))
	return cert
}

func parsed(tb testing.TB, text []byte) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		tb.Fatal("want a PEM block, found none")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// or returns value, or other if value is the zero value.
func or[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// keyring returns the keyring of the PEM blocks.
func keyring(tb testing.TB, blocks ...[]byte) *trust.Keyring {
	tb.Helper()
	ring, err := trust.ParseKeyring(bytes.Join(blocks, nil), 1024)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// verify verifies a certificate without revocations and with a minimum of 2048 bits, at
// a time in its validity period.
func verify(tb testing.TB, cert *x509.Certificate, anchors ...[]byte) (trust.Verified, error) {
	tb.Helper()
	limits := trust.Limits{MinRSABits: 2048}
	return trust.NewVerifier(keyring(tb, anchors...), nil, limits).Verify(cert, midValidity(cert))
}

// verifyChain verifies like verify, with intermediates.
func verifyChain(tb testing.TB, leaf *x509.Certificate, intermediates []*x509.Certificate, anchors ...[]byte) (trust.Verified, error) {
	tb.Helper()
	limits := trust.Limits{MinRSABits: 2048}
	return trust.NewVerifier(keyring(tb, anchors...), nil, limits).Verify(leaf, midValidity(leaf), intermediates...)
}

func midValidity(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2)
}

// check fails unless the result is a refusal with the wanted reason and a zero Verified,
// or, if the reason is "", a valid Verified of cert.
func check(tb testing.TB, cert *x509.Certificate, got trust.Verified, err error, want refusal.Reason) {
	tb.Helper()
	if want == "" {
		if err != nil || !got.Valid() || got.Certificate() != cert {
			tb.Errorf("want it verified, found %v", err)
		}
		return
	}
	if refused := refusal.Of(err); refused == nil || refused.Reason != want {
		tb.Errorf("want %s, found %v", want, err)
	}
	if got != (trust.Verified{}) {
		tb.Error("want the zero Verified with a refusal, found another")
	}
}
