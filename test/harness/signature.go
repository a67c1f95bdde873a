package harness

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
)

// SignatureOptions describe an HTTP message signature. The harness implements RFC 9421,
// sections 2.3, 2.5 and 3.1, itself, to be independent of the gateway's signer. The zero
// value selects the defaults.
type SignatureOptions struct {
	Header     string   // of the certificate: X-SSL-Auth
	Authority  string   // app.example
	Components []string // in quotes
	Created    time.Time
	Lifetime   time.Duration
	Nonce      string
	KeyID      string
	Parameters string // replaces all parameters
	Digest     string // the value of Content-Digest
	LegacyRSA  bool
}

// Signer is a certificate with its private key.
type Signer struct {
	Certificate
	Key crypto.Signer
}

// Sign returns r with the credential and a signature in sig1, which is valid except for the
// options.
func (c Signer) Sign(t *testing.T, r Request, s SignatureOptions) Request {
	t.Helper()
	s.Header = cmp.Or(s.Header, "X-SSL-Auth")
	r = r.With(s.Header + ": " + c.HeaderValue(certheader.Base64DER))
	if r.Body != "" || s.Digest != "" {
		if s.Digest == "" {
			s.Digest = Digest(r.Body)
		}
		r = r.With("Content-Digest: " + s.Digest)
	}
	s = s.withDefaults(c, r)
	list := "(" + strings.Join(s.Components, " ") + ")" + s.Parameters
	base := s.base(r) + `"@signature-params": ` + list
	signature := base64.StdEncoding.EncodeToString(c.signBytes(t, []byte(base), s.LegacyRSA))
	KeepSecret(signature)
	return r.With("Signature-Input: sig1="+list, "Signature: sig1=:"+signature+":")
}

// Digest returns the value of Content-Digest for a body.
func Digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// withDefaults returns a copy in which every unset option has its default.
func (s SignatureOptions) withDefaults(c Signer, r Request) SignatureOptions {
	if s.Authority == "" {
		s.Authority = "app.example"
	}
	if s.Components == nil {
		s.Components = []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, strconv.Quote(strings.ToLower(s.Header))}
		if s.Digest != "" {
			s.Components = append(s.Components, `"content-digest"`)
		}
	}
	if s.Created.IsZero() {
		s.Created = time.Now()
	}
	if s.Lifetime == 0 {
		s.Lifetime = 5 * time.Minute
	}
	if s.Nonce == "" {
		s.Nonce = rand.Text()
	}
	if s.KeyID == "" {
		s.KeyID = fmt.Sprintf("%x", sha256.Sum256(c.Parsed.RawSubjectPublicKeyInfo))
	}
	if s.Parameters == "" {
		s.Parameters = fmt.Sprintf(`;created=%d;expires=%d;nonce=%q;keyid=%q;tag="certgate"`,
			s.Created.Unix(), s.Created.Add(s.Lifetime).Unix(), s.Nonce, s.KeyID)
	}
	return s
}

// base returns the signature base of RFC 9421, section 2.5.
func (s SignatureOptions) base(r Request) string {
	path, query, _ := strings.Cut(r.Target, "?")
	var b strings.Builder
	for _, name := range s.Components {
		var value string
		switch name {
		case `"@method"`:
			value = r.Method
		case `"@authority"`:
			value = s.Authority
		case `"@path"`:
			value = path
		case `"@query"`:
			value = "?" + query
		default:
			value = r.Value(strings.Trim(name, `"`))
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String()
}

// signBytes signs with the algorithm of RFC 9421, section 3.3, for the key.
func (c Signer) signBytes(t *testing.T, base []byte, legacyRSA bool) []byte {
	t.Helper()
	var signature []byte
	var err error
	switch key := c.Key.(type) {
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
