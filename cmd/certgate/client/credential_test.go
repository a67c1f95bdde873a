package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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

	"github.com/certgate/certgate/cmd/certgate/client"
)

// keyBlock is the type of a PEM block; what is before the words is put in front.
func keyBlock(kind string) string { return strings.TrimSpace(kind+" PRIVATE") + " KEY" }

func pkcs8(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	return pemOf(keyBlock(""), must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key)))
}

// TestKeys: whatever key a client holds, and however its file is written, the
// gateway believes what it signs.
func TestKeys(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ec384 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	long := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
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
			c := must[*client.Credential](t)(client.Load(cert, key))
			if c.Client() != "mail" || string(c.Certificate().Raw) != string(pair.Certificate[0]) {
				t.Errorf("want the credential of mail, found %v", c)
			}
			get(t, g.transport(t, c), g.URL+"/events")
			g.wantOne(t)
		})
	}
}

// TestChain: what stands behind the client's certificate goes with it.
func TestChain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	pair := issue(t, ca, newKey(t))
	block, _ := pem.Decode(ca.CertificatePEM())
	pair.Certificate = append(pair.Certificate, block.Bytes)
	get(t, g.transport(t, must[*client.Credential](t)(client.New(pair))), g.URL+"/events")
	if value := g.wantOne(t).header.Get("X-SSL-Auth"); strings.Count(value, ",") != 1 {
		t.Error("want two certificates in the header, found another number")
	}
}

// TestParseRefuses: each case differs from the good one in one way, and the error
// says in which, without the key or certificate.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key := newKey(t)
	cert := issue(t, ca, key).Certificate[0]
	goodCert, goodKey := pemOf("CERTIFICATE", cert), pkcs8(t, key)
	p521 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := pem.EncodeToMemory(&pem.Block{
		Type: keyBlock("RSA"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x"),
	})
	for _, test := range []struct {
		name      string
		cert, key []byte
		want      string // "": no error
	}{
		{"good", goodCert, goodKey, ""},
		{"nothing", nil, nil, "want a certificate and its private key in PEM"},
		{"a key for a certificate", goodKey, goodKey, "failed to find certificate PEM data"},
		{"a certificate for a key", goodCert, goodCert, "found a certificate"},
		{"another key", goodCert, pkcs8(t, newKey(t)), "private key does not match public key"},
		{"a passphrase", goodCert, encrypted, "want a key without a passphrase"},
		{"a passphrase, PKCS #8", goodCert, pemOf(keyBlock("ENCRYPTED"), []byte("x")), "want a key without a passphrase"},
		{"P-521", pemOf("CERTIFICATE", issue(t, ca, p521).Certificate[0]), pkcs8(t, p521), "want a key that can sign requests"},
		{"a short key", pemOf("CERTIFICATE", certify(t, short)), pkcs8(t, short), "want a key that is long enough"},
		{"self-signed", pemOf("CERTIFICATE", selfSigned(t, key)), goodKey, "want a certificate over a key of the client's own"},
		{"five certificates", slices.Repeat(goodCert, 5), goodKey, "want 1 to 4 certificates"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.Parse(test.cert, test.key)
			switch {
			case test.want == "" && err != nil || test.want != "" && err == nil:
				t.Fatalf("want the error %q, found %v", test.want, err)
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("want the error %q, found %v", test.want, err)
			}
		})
	}
}

// certify is a certificate by an authority that takes any key.
func certify(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}}}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}
	return must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), newKey(t)))
}

// selfSigned is the recipe of 2012.
func selfSigned(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")
	if _, err := client.Load(cert, key); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("want an error with the file's name, found %v", err)
	}
	if err := os.WriteFile(cert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Load(cert, key); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("want an error with the file's name, found %v", err)
	}
}

// TestLoadIsBounded: a device without an end is not read into the memory.
func TestLoadIsBounded(t *testing.T) {
	if _, err := client.Load("/dev/zero", "/dev/zero"); err == nil || !strings.Contains(err.Error(), "want at most 1048576 bytes") {
		t.Errorf("want the bound, found %v", err)
	}
}

// TestNewWantsAPair: package tls's pairs may be half filled.
func TestNewWantsAPair(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	good := issue(t, ca, newKey(t))
	for name, pair := range map[string]tls.Certificate{
		"nothing":     {},
		"no key":      {Certificate: good.Certificate},
		"another key": {Certificate: good.Certificate, PrivateKey: newKey(t)},
		"no cert":     {PrivateKey: good.PrivateKey},
		"damaged":     {Certificate: [][]byte{{0x30}}, PrivateKey: good.PrivateKey},
	} {
		if _, err := client.New(pair); err == nil || !strings.HasPrefix(err.Error(), "want ") {
			t.Errorf("%s: want an error that says what is wanted, found %v", name, err)
		}
	}
}

// TestNothingPrintsTheCredential: with no verb, and not as a part of something else.
func TestNothingPrintsTheCredential(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	pair := issue(t, newAuthority(t), key)
	c := must[*client.Credential](t)(client.New(pair))
	secret, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("want an ECDSA key")
	}
	number := new(big.Int).SetBytes(must[[]byte](t)(secret.Bytes()))
	pieces := []string{number.String()[5:25], fmt.Sprintf("%x", number)[5:25], fmt.Sprintf("%d", pair.Certificate[0])[1:40], fmt.Sprintf("%x", pair.Certificate[0])[:40], base64.StdEncoding.EncodeToString(pair.Certificate[0])[:40]}
	var said strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%p"} {
		fmt.Fprintf(&said, verb+verb+verb+"\n", c, &client.Transport{Credential: c}, client.Transport{Credential: c})
	}
	for i, piece := range pieces {
		if strings.Contains(said.String(), piece) {
			t.Errorf("piece %d of the credential was printed", i)
		}
	}
	if !strings.Contains(c.String(), `"mail"`) {
		t.Errorf("want the client's name, found %s", c)
	}
	if zero := (&client.Credential{}).String(); zero != "no credential" {
		t.Errorf("want no credential, found %s", zero)
	}
}

// TestKeyElsewhere: a key that only signs, as a security module's.
func TestKeyElsewhere(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	pair := issue(t, ca, newKey(t))
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("want a signer")
	}
	pair.PrivateKey = struct{ crypto.Signer }{key}
	res := get(t, g.transport(t, must[*client.Credential](t)(client.New(pair))), g.URL+"/events")
	if g.wantOne(t); res.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", res.StatusCode)
	}
}
