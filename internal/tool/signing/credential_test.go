package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	testca "github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/signing"
)

// keyBlock returns the type of a PEM block with a private key, such as "RSA PRIVATE
// KEY" for "RSA". Secret scanners would report the literal.
func keyBlock(kind string) string { return strings.TrimSpace(kind+" PRIVATE") + " KEY" }

func pkcs8(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	return pemOf(keyBlock(""), must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key)))
}

// TestLoadKeyTypes checks that the gateway accepts signatures with every supported
// key type and PEM form.
func TestLoadKeyTypes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ec384 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	long := testca.RSAKey(t, 2048, 0)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		key  crypto.Signer
		text []byte
	}{
		{"P-256, PKCS #8", ec, pkcs8(t, ec)},
		{"P-256, SEC 1", ec, pemOf(keyBlock("EC"), must[[]byte](t)(x509.MarshalECPrivateKey(ec)))},
		{"P-384", ec384, pkcs8(t, ec384)},
		{"RSA, PKCS #8", long, pkcs8(t, long)},
		{"RSA, PKCS #1", long, pemOf(keyBlock("RSA"), x509.MarshalPKCS1PrivateKey(long))},
		{"Ed25519", ed, pkcs8(t, ed)},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")
			pair := issue(t, ca, test.key)
			for name, text := range map[string][]byte{cert: pemOf("CERTIFICATE", pair.Certificate[0]), key: test.text} {
				if err := os.WriteFile(name, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := must[*signing.Credential](t)(signing.Load(cert, key))
			if c.Client() != "mail" || string(c.Certificate().Raw) != string(pair.Certificate[0]) {
				t.Errorf("want the credential of mail, found %v", c)
			}
			get(t, g.transport(t, c), g.URL+"/events")
			g.wantOne(t)
		})
	}
}

// TestNewSendsChain checks that intermediate certificates are sent with the client's.
func TestNewSendsChain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	pair := issue(t, ca, newKey(t))
	block, _ := pem.Decode(ca.CertificatePEM())
	pair.Certificate = append(pair.Certificate, block.Bytes)
	get(t, g.transport(t, must[*signing.Credential](t)(signing.New(pair))), g.URL+"/events")
	if value := g.wantOne(t).header.Get("X-SSL-Auth"); strings.Count(value, ",") != 1 {
		t.Error("want two certificates in the header, found another number")
	}
}

// TestParseRefuses checks the error for each kind of unusable pair. Each case differs
// from the valid one in one aspect.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key := newKey(t)
	cert := issue(t, ca, key).Certificate[0]
	goodCert, goodKey := pemOf("CERTIFICATE", cert), pkcs8(t, key)
	p521 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	short := testca.RSAKey(t, 1024, 0)
	encrypted := pem.EncodeToMemory(&pem.Block{
		Type: keyBlock("RSA"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x"),
	})
	for _, test := range []struct {
		name      string
		cert, key []byte
		want      string // part of the error, or "" for no error
	}{
		{"valid", goodCert, goodKey, ""},
		{"empty", nil, nil, "want a certificate and its private key in PEM"},
		{"key in place of the certificate", goodKey, goodKey, "failed to find certificate PEM data"},
		{"certificate in place of the key", goodCert, goodCert, "found a certificate"},
		{"key of another certificate", goodCert, pkcs8(t, newKey(t)), "private key does not match public key"},
		{"encrypted, RFC 1421", goodCert, encrypted, "want a key without a passphrase"},
		{"encrypted, PKCS #8", goodCert, pemOf(keyBlock("ENCRYPTED"), []byte("x")), "want a key without a passphrase"},
		{"P-521", pemOf("CERTIFICATE", issue(t, ca, p521).Certificate[0]), pkcs8(t, p521), "want a key that can sign requests"},
		{"short key", pemOf("CERTIFICATE", certify(t, short)), pkcs8(t, short), "want a key long enough"},
		{"self-signed", pemOf("CERTIFICATE", selfSigned(t, key)), goodKey, "want a certificate for a key of the client's own"},
		{"five certificates", slices.Repeat(goodCert, 5), goodKey, "want 1 to 4 certificates"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := signing.Parse(test.cert, test.key)
			switch {
			case test.want == "" && err != nil || test.want != "" && err == nil:
				t.Fatalf("want the error %q, found %v", test.want, err)
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("want the error %q, found %v", test.want, err)
			}
		})
	}
}

// certify returns a certificate for any key, including a key that package pki refuses.
func certify(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}}}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}
	return must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), newKey(t)))
}

// selfSigned returns a certificate that is signed with its own key, as in the recipe
// of 2012.
func selfSigned(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// TestLoadNamesTheFile checks that the error contains the name of the unusable file.
func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")
	if _, err := signing.Load(cert, key); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("want an error with the file's name, found %v", err)
	}
	if err := os.WriteFile(cert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := signing.Load(cert, key); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("want an error with the file's name, found %v", err)
	}
}

// TestLoadIsBounded checks that Load stops reading at the limit of a file.
func TestLoadIsBounded(t *testing.T) {
	if _, err := signing.Load("/dev/zero", "/dev/zero"); err == nil || !strings.Contains(err.Error(), "want at most 1048576 bytes") {
		t.Errorf("want the limit, found %v", err)
	}
}

// TestNewRefusesIncompletePairs checks pairs of package tls that lack one part.
func TestNewRefusesIncompletePairs(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	good := issue(t, ca, newKey(t))
	for name, pair := range map[string]tls.Certificate{
		"empty":                      {},
		"no key":                     {Certificate: good.Certificate},
		"key of another certificate": {Certificate: good.Certificate, PrivateKey: newKey(t)},
		"no certificate":             {PrivateKey: good.PrivateKey},
		"damaged certificate":        {Certificate: [][]byte{{0x30}}, PrivateKey: good.PrivateKey},
	} {
		if _, err := signing.New(pair); err == nil || !strings.HasPrefix(err.Error(), "want ") {
			t.Errorf("%s: want an error that begins with \"want\", found %v", name, err)
		}
	}
}

// TestFormatHidesCredential checks that no verb of package fmt prints a part of the
// certificate or the key, neither of a credential nor of a transport that has one.
func TestFormatHidesCredential(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	pair := issue(t, newAuthority(t), key)
	c := must[*signing.Credential](t)(signing.New(pair))
	secret, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("want an ECDSA key")
	}
	number := new(big.Int).SetBytes(must[[]byte](t)(secret.Bytes()))
	pieces := []string{number.String()[5:25], fmt.Sprintf("%x", number)[5:25], fmt.Sprintf("%d", pair.Certificate[0])[1:40], fmt.Sprintf("%x", pair.Certificate[0])[:40], base64.StdEncoding.EncodeToString(pair.Certificate[0])[:40]}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%p"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", c, &signing.Transport{Credential: c}, signing.Transport{Credential: c})
	}
	for i, piece := range pieces {
		if strings.Contains(printed.String(), piece) {
			t.Errorf("piece %d of the credential was printed", i)
		}
	}
	if !strings.Contains(c.String(), `"mail"`) {
		t.Errorf("want the client's name, found %s", c)
	}
	if zero := (&signing.Credential{}).String(); zero != "no credential" {
		t.Errorf("want no credential, found %s", zero)
	}
}

// TestNewAcceptsOpaqueSigner checks a key that can only sign, such as one in a
// hardware security module.
func TestNewAcceptsOpaqueSigner(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	pair := issue(t, ca, newKey(t))
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("want a signer")
	}
	pair.PrivateKey = struct{ crypto.Signer }{key}
	res := get(t, g.transport(t, must[*signing.Credential](t)(signing.New(pair))), g.URL+"/events")
	if g.wantOne(t); res.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", res.StatusCode)
	}
}
