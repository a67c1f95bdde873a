package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
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
)

// office makes keys and certificates with openssl, in a directory of its own.
// Names are file names: key "ca" is ca.key, its certificate ca.crt.
type office struct {
	tb  testing.TB
	dir string
}

func newOffice(tb testing.TB) office {
	tb.Helper()
	o := office{tb: tb, dir: tb.TempDir()}
	// Nothing is taken from the machine's openssl.cnf.
	o.write("req.cnf", "[req]\ndistinguished_name=dn\n[dn]\n")
	return o
}

func (o office) openssl(args ...string) []byte {
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

func (o office) write(name, text string) {
	o.tb.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
		o.tb.Fatal(err)
	}
}

func (o office) read(name string) []byte {
	o.tb.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.tb.Fatal(err)
	}
	return text
}

// key makes NAME.key; kind is "rsa:BITS", "ec:CURVE" or an algorithm's name. Offices
// share their keys, but no office gets the same key twice.
func (o office) key(name, kind string) {
	o.tb.Helper()
	o.write(name+".key", string(shared.key(o, kind)))
}

func (o office) newKey(kind string) []byte {
	o.tb.Helper()
	algorithm, parameter, _ := strings.Cut(kind, ":")
	switch {
	case kind == "ec:P-256", kind == "ed25519":
		return newPrivateKey(o.tb, kind)
	case algorithm == "rsa":
		return o.openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:"+parameter)
	case algorithm == "ec":
		return o.openssl("genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:"+parameter)
	default:
		return o.openssl("genpkey", "-algorithm", algorithm)
	}
}

// newPrivateKey makes a key without openssl.
func newPrivateKey(tb testing.TB, kind string) []byte {
	tb.Helper()
	var key any = newKey(tb)
	if kind == "ed25519" {
		var err error
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			tb.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

// pool has the keys and certificates that all tests share: making them takes most of
// the time of a test, and what comes of them does not depend on who made them.
type pool struct {
	mu           sync.Mutex
	keys         map[string][][]byte // by kind
	used         map[string]int      // by office and kind
	certificates map[string][]byte   // by everything that they are made of
}

var shared = pool{keys: map[string][][]byte{}, used: map[string]int{}, certificates: map[string][]byte{}}

func (p *pool) key(o office, kind string) []byte {
	o.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.used[o.dir+kind]
	p.used[o.dir+kind]++
	if i == len(p.keys[kind]) {
		p.keys[kind] = append(p.keys[kind], o.newKey(kind))
	}
	return p.keys[kind][i]
}

// certificate returns what openssl makes of the arguments. The files that they name
// count with their content, but a request with what it was made from.
func (p *pool) certificate(o office, args []string, request ...string) []byte {
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
func (o office) public(name string) []byte {
	o.tb.Helper()
	block, _ := pem.Decode(o.read(name + ".key"))
	if block == nil {
		o.tb.Fatalf("%s.key is not PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil { // an algorithm that crypto/x509 does not read
		return o.openssl("pkey", "-in", name+".key", "-pubout")
	}
	der, err := x509.MarshalPKIXPublicKey(key.(interface{ Public() crypto.PublicKey }).Public())
	if err != nil {
		return o.openssl("pkey", "-in", name+".key", "-pubout")
	}
	return pemOf("PUBLIC KEY", der)
}

// caExtensions is what a CA certificate says of itself.
const caExtensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"

// root is a certificate that NAME.key signs for itself: by default a CA's.
type root struct {
	name       string
	subject    string // default /O=Example/CN=Example CA
	days       int    // default 3650
	extensions string // default caExtensions
	out        string // default NAME.crt
}

func (o office) root(r root) []byte {
	o.tb.Helper()
	r.subject = or(r.subject, "/O=Example/CN=Example CA")
	r.extensions = or(r.extensions, caExtensions)
	r.out = or(r.out, r.name+".crt")
	o.write("root.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[v3]\n"+r.extensions+"\n")
	args := []string{"req", "-new", "-x509", "-config", "root.cnf", "-extensions", "v3", "-key", r.name + ".key",
		"-subj", r.subject, "-days", strconv.Itoa(or(r.days, 3650))}
	certificate := shared.certificate(o, args)
	o.write(r.out, string(certificate))
	return certificate
}

// authority makes NAME.key and its CA certificate.
func (o office) authority(name, kind string) (public, certificate []byte) {
	o.tb.Helper()
	o.key(name, kind)
	certificate = o.root(root{name: name})
	return o.public(name), certificate
}

// order is what differs between one client certificate and the next. The zero
// value but for ca and key is a good certificate without extensions (version 1),
// as in the articles.
type order struct {
	ca         string // signed with CA.key under the name in CA.crt
	key        string // for KEY.key
	subject    string // default /O=Example/OU=mail/CN=mail
	digest     string // such as "-sha1"; default openssl's own
	extensions string // lines of openssl's x509v3_config
	serial     string // default 0x4f3a09
	more       []string
}

func (o office) client(w order) *x509.Certificate {
	o.tb.Helper()
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

// request writes client.csr, with crypto/x509 where that can sign with the key: the
// request carries nothing but the subject and the key, and openssl takes long to start.
func (o office) request(key []byte, subject string) {
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

// issuer is what differs between one intermediate and the next. The zero value
// but for name and ca is a good CA certificate.
type issuer struct {
	name       string // NAME.key is made unless it is there, NAME.crt written
	ca         string
	kind       string // default ec:P-256
	subject    string // default /O=Example/CN=NAME
	digest     string
	extensions string // default caExtensions
	days       string // default 365
}

func (o office) intermediate(i issuer) *x509.Certificate {
	o.tb.Helper()
	if _, err := os.Stat(filepath.Join(o.dir, i.name+".key")); err != nil {
		o.key(i.name, or(i.kind, "ec:P-256"))
	}
	cert := o.client(order{
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

// or is value, or other where value is the zero value.
func or[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// keyring reads the blocks one after the other.
func keyring(tb testing.TB, blocks ...[]byte) *trust.Keyring {
	tb.Helper()
	ring, err := trust.ParseKeyring(bytes.Join(blocks, nil), 1024)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// verify asks a verifier without revocations and with limit of 2048 bits, at a
// time in the certificate's life.
func verify(tb testing.TB, cert *x509.Certificate, anchors ...[]byte) (trust.Verified, error) {
	tb.Helper()
	limits := trust.Limits{MinRSABits: 2048}
	return trust.NewVerifier(keyring(tb, anchors...), nil, limits).Verify(cert, midlife(cert))
}

// verifyChain is verify with intermediates.
func verifyChain(tb testing.TB, leaf *x509.Certificate, intermediates []*x509.Certificate, anchors ...[]byte) (trust.Verified, error) {
	tb.Helper()
	limits := trust.Limits{MinRSABits: 2048}
	return trust.NewVerifier(keyring(tb, anchors...), nil, limits).Verify(leaf, midlife(leaf), intermediates...)
}

func midlife(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2)
}

// check wants a refusal with the reason and a zero Verified, or a valid Verified
// of cert where the reason is "".
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
		tb.Error("want nothing beside the refusal, found a Verified")
	}
}
