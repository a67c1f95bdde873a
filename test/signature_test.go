package test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
)

// claim is what is signed, written down by hand after RFC 9421, sections 2.3, 2.5
// and 3.1: a mistake that the gateway's own signer shared would not be found with
// it. The zero value is completed by [signature.of].
type claim struct {
	header     string   // of the certificate: X-SSL-Auth
	authority  string   // app.example
	components []string // in quotes
	created    time.Time
	lifetime   time.Duration
	nonce      string
	keyID      string
	parameters string // in place of all of them
	digest     string // the value of Content-Digest
	legacyRSA  bool
}

// client is a certificate with its key.
type client struct {
	certificate
	key crypto.Signer
}

// newClient issues a certificate for a key of the algorithm and reads the key.
func (m *master) newClient(t *testing.T, o certificateOptions) client {
	t.Helper()
	cert := m.issue(t, o)
	file := o.key
	if file == "" {
		file = "p256"
	}
	return client{cert, m.readKey(t, file+".key")}
}

func (m *master) readKey(t *testing.T, file string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(m.read(t, file))
	if block == nil {
		t.Fatal("want a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// sign is r with the credential and a signature in sig1 that is good, but for what
// the claim says.
func (c client) sign(t *testing.T, r request, s claim) request {
	t.Helper()
	s.header = cmp.Or(s.header, "X-SSL-Auth")
	r = r.with(s.header + ": " + c.header(certheader.Base64DER))
	if r.body != "" || s.digest != "" {
		if s.digest == "" {
			s.digest = digest(r.body)
		}
		r = r.with("Content-Digest: " + s.digest)
	}
	s = s.completed(c, r)
	list := "(" + strings.Join(s.components, " ") + ")" + s.parameters
	base := s.base(r) + `"@signature-params": ` + list
	signature := base64.StdEncoding.EncodeToString(c.signBytes(t, []byte(base), s.legacyRSA))
	run.secrets.keep(signature)
	return r.with("Signature-Input: sig1="+list, "Signature: sig1=:"+signature+":")
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// completed has every field.
func (s claim) completed(c client, r request) claim {
	if s.authority == "" {
		s.authority = "app.example"
	}
	if s.components == nil {
		s.components = []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, strconv.Quote(strings.ToLower(s.header))}
		if s.digest != "" {
			s.components = append(s.components, `"content-digest"`)
		}
	}
	if s.created.IsZero() {
		s.created = time.Now()
	}
	if s.lifetime == 0 {
		s.lifetime = 5 * time.Minute
	}
	if s.nonce == "" {
		s.nonce = rand.Text()
	}
	if s.keyID == "" {
		s.keyID = fmt.Sprintf("%x", sha256.Sum256(c.parsed.RawSubjectPublicKeyInfo))
	}
	if s.parameters == "" {
		s.parameters = fmt.Sprintf(`;created=%d;expires=%d;nonce=%q;keyid=%q;tag="certgate"`,
			s.created.Unix(), s.created.Add(s.lifetime).Unix(), s.nonce, s.keyID)
	}
	return s
}

// base is the signature base but for its last line.
func (s claim) base(r request) string {
	path, query, _ := strings.Cut(r.target, "?")
	var b strings.Builder
	for _, name := range s.components {
		var value string
		switch name {
		case `"@method"`:
			value = r.method
		case `"@authority"`:
			value = s.authority
		case `"@path"`:
			value = path
		case `"@query"`:
			value = "?" + query
		default:
			value = r.value(strings.Trim(name, `"`))
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String()
}

// value is that of a field, with commas between lines.
func (r request) value(field string) string {
	var values []string
	for _, line := range r.header {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, field) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return strings.Join(values, ", ")
}

// signBytes signs as RFC 9421, section 3.3, says for the key.
func (c client) signBytes(t *testing.T, base []byte, legacyRSA bool) []byte {
	t.Helper()
	var signature []byte
	var err error
	switch key := c.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, base)
	case *rsa.PrivateKey:
		if legacyRSA {
			sum := sha256.Sum256(base)
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
			break
		}
		sum := sha512.Sum512(base)
		signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA512, sum[:], &rsa.PSSOptions{SaltLength: 64})
	case *ecdsa.PrivateKey:
		size := (key.Params().BitSize + 7) / 8
		sum := sha256.Sum256(base)
		digest := sum[:]
		if size == 48 {
			sum := sha512.Sum384(base)
			digest = sum[:]
		}
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest)
		if err = signErr; err == nil {
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	default:
		t.Fatalf("want a key that can sign, found %T", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// replacing is a copy with a text in one header line replaced, which is there.
func (r request) replacing(t *testing.T, old, changed string) request {
	t.Helper()
	found := 0
	lines := make([]string, len(r.header))
	for i, line := range r.header {
		found += strings.Count(line, old)
		lines[i] = strings.Replace(line, old, changed, 1)
	}
	if found != 1 {
		t.Fatalf("want the text to replace once, found it %d times", found)
	}
	r.header = lines
	return r
}

// without is a copy without the field.
func (r request) without(t *testing.T, field string) request {
	t.Helper()
	var lines []string
	for _, line := range r.header {
		if name, _, _ := strings.Cut(line, ":"); !strings.EqualFold(name, field) {
			lines = append(lines, line)
		}
	}
	if len(lines) == len(r.header) {
		t.Fatalf("want the field %s to be there", field)
	}
	r.header = lines
	return r
}
