package certheader_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// fixture is one certificate made by openssl.
type fixture struct {
	der  []byte
	text string // the PEM, with LF and a final newline
}

// shared contains one fixture of each algorithm, for all tests.
var shared = struct {
	sync.Mutex
	fixtures map[string]fixture
}{fixtures: map[string]fixture{}}

// newFixture returns a self-signed certificate made as in the first article. Its base64
// ends with two padding characters, so that tests can set unused bits.
func newFixture(tb testing.TB, algorithm string) fixture {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	f, known := shared.fixtures[algorithm]
	if !known {
		f = makeFixture(tb, algorithm)
		shared.fixtures[algorithm] = f
	}
	return fixture{bytes.Clone(f.der), f.text}
}

func makeFixture(tb testing.TB, algorithm string) fixture {
	tb.Helper()
	dir := tb.TempDir()
	key, csr, crt := filepath.Join(dir, "key"), filepath.Join(dir, "csr"), filepath.Join(dir, "crt")
	writeKey(tb, key, algorithm)
	for range 100 {
		for _, name := range []string{"mail", "mail1", "mail22"} {
			openssl(tb, "req", "-new", "-key", key, "-subj", "/O=Example/OU=mail/CN="+name, "-out", csr)
			openssl(tb, "x509", "-req", "-in", csr, "-signkey", key, "-set_serial", "0x4f3a09", "-out", crt)
			f := read(tb, crt)
			if len(f.der)%3 == 1 {
				return f
			}
		}
	}
	tb.Fatal("want a certificate with two padding characters, found none")
	return fixture{}
}

// writeKey writes a private key. The RSA key is a fixed one, which takes no time.
func writeKey(tb testing.TB, path, algorithm string) {
	tb.Helper()
	if algorithm == "rsa" {
		if err := os.WriteFile(path, ca.KeyPEM(tb, ca.RSAKey(tb, 2048, 0)), 0o600); err != nil {
			tb.Fatal(err)
		}
		return
	}
	options := map[string][]string{
		"p256":    {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"ed25519": {"-algorithm", "ed25519"},
	}
	openssl(tb, append([]string{"genpkey", "-out", path}, options[algorithm]...)...)
}

func openssl(tb testing.TB, args ...string) {
	tb.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		tb.Fatalf("openssl %s: %v\n%s", args[0], err, out)
	}
}

func read(tb testing.TB, path string) fixture {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		tb.Fatalf("%s: want one PEM block", path)
	}
	return fixture{der: block.Bytes, text: string(text)}
}

func readDER(tb testing.TB, path string) fixture {
	tb.Helper()
	der, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return fixture{der: der, text: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// body returns the base64 between the two boundary lines, with its line breaks.
func (f fixture) body() string {
	return strings.TrimSuffix(strings.TrimPrefix(f.text, begin), end+"\n")
}

const (
	begin = "-----BEGIN CERTIFICATE-----\n"
	end   = "-----END CERTIFICATE-----"
)

// elements returns the three parts of the outer SEQUENCE.
func (f fixture) elements(tb testing.TB) (tbs, algorithm, signature asn1.RawValue) {
	tb.Helper()
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	if rest, err := asn1.Unmarshal(f.der, &outer); err != nil || len(rest) > 0 {
		tb.Fatalf("fixture: %v", err)
	}
	return outer.TBS, outer.Algorithm, outer.Signature
}

// sequence returns a DER SEQUENCE of the parts.
func sequence(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(parts, nil)})
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// nginxEscape encodes like nginx's $ssl_client_escaped_cert: every byte except the
// unreserved ones of RFC 3986, section 2.3, becomes %XX. It does not use the code of the
// package under test.
func nginxEscape(text string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
