package assertion_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
)

func TestParseKeys(t *testing.T) {
	ed, p256 := keyPEM(t, jose.EdDSA), keyPEM(t, jose.ES256)
	p256Key := ca.Key(t).(*ecdsa.PrivateKey)
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256Key))(t))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	rsaKey := ca.RSAKey(t, 2048, 0)
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))(t)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")})
	damaged := bytes.Replace(ed, []byte("-----END PRIVATE KEY"), []byte("-----END PRIVATE KE"), 1)
	const wrongType, unreadable = "Ed25519 or P-256, found another type", "found one that cannot be read"
	tests := []struct {
		name  string
		text  []byte
		want  []string // algorithms
		fault string
	}{
		{"Ed25519", ed, []string{"EdDSA"}, ""},
		{"P-256", p256, []string{"ES256"}, ""},
		{"P-256 in SEC 1 form", sec1, []string{"ES256"}, ""},
		{"as openssl ecparam -genkey writes it", slices.Concat(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}), sec1), []string{"ES256"}, ""},
		{"two", slices.Concat(p256, ed), []string{"ES256", "EdDSA"}, ""},
		{"text around the blocks", slices.Concat([]byte("# next\n"), ed, []byte("\n# previous\n"), p256), []string{"EdDSA", "ES256"}, ""},

		{"nothing", nil, nil, "found no PEM block"},
		{"no PEM", []byte("c2VjcmV0"), nil, "found no PEM block"},
		{"parameters only", block("EC PARAMETERS", []byte{1}), nil, "want 1 or 2 private keys, found 0"},
		{"three", slices.Concat(ed, p256, sec1), nil, "want 1 or 2 private keys, found 3"},
		{"the same twice", slices.Concat(ed, ed), nil, "block 2: want two different keys"},
		{"the same in another form", slices.Concat(pkcs8(t, p256Key), sec1), nil, "block 2: want two different keys"},
		{"P-384", pkcs8(t, p384), nil, "block 1: want a private key of type " + wrongType},
		{"P-384 in SEC 1 form", block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384))(t)), nil, wrongType},
		{"RSA", pkcs8(t, rsaKey), nil, wrongType},
		{"RSA in PKCS #1 form", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), nil, wrongType},
		{"X25519", pkcs8(t, x25519), nil, wrongType},
		{"public key", block("PUBLIC KEY", publicOf(t, ed)), nil, "found a public one"},
		{"certificate", ca.New(t).CertificatePEM(), nil, "found a public one"},
		{"encrypted PKCS #8", block("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "found an encrypted one"},
		{"encrypted SEC 1", encrypted, nil, "found an encrypted one"},
		{"request", block("CERTIFICATE REQUEST", []byte("x")), nil, "found another type"},
		{"not DER", block("PRIVATE KEY", []byte("secret")), nil, unreadable},
		{"SEC 1 in a PKCS #8 block", block("PRIVATE KEY", must(x509.MarshalECPrivateKey(p256Key))(t)), nil, unreadable},
		{"damaged", damaged, nil, "found a damaged one"},
		{"the first of two damaged", slices.Concat(damaged, p256), nil, "found a damaged one"},
		{"the second of two begins", slices.Concat(p256, []byte("-----BEGIN")), nil, "found a damaged one"},
		{"the second of two ends", slices.Concat(p256, []byte("x\n-----END PRIVATE KEY-----\n")), nil, "found a damaged one"},
		{"the second of two damaged", slices.Concat(p256, damaged), nil, "found a damaged one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := assertion.ParseKeys(tt.text)
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("error %v, want %q", err, tt.fault)
			}
			var found []string
			for _, k := range keys {
				found = append(found, k.Algorithm())
			}
			if !slices.Equal(found, tt.want) {
				t.Errorf("keys %q, want %q", found, tt.want)
			}
		})
	}
}

// must returns a function that returns value, or fails the test with err.
func must[T any](value T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return value
	}
}

func TestKeyID(t *testing.T) {
	text := keyPEM(t, jose.EdDSA)
	if id := parse(t, text)[0].ID(); id != sha256.Sum256(publicOf(t, text)) {
		t.Errorf("id %s, want the SHA-256 of the public key", id)
	}
}

// FuzzParseKeys checks that ParseKeys returns an error that quotes no line of the text, or
// one or two different keys that sign.
func FuzzParseKeys(f *testing.F) {
	ed, p256 := keyPEM(f, jose.EdDSA), keyPEM(f, jose.ES256)
	f.Add(ed)
	f.Add(slices.Concat(p256, ed))
	f.Add(block("EC PARAMETERS", []byte{6}))
	g := grant(f, mail(f), "all", "GET", "/")
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := assertion.ParseKeys(text)
		if err != nil {
			for line := range bytes.Lines(text) {
				if line = bytes.TrimSpace(line); len(line) > 40 && strings.Contains(err.Error(), string(line)) {
					t.Errorf("the error quotes the text: %v", err)
				}
			}
			return
		}
		if len(keys) == 0 || len(keys) > assertion.MaxKeys || len(keys) == 2 && keys[0].ID() == keys[1].ID() {
			t.Fatalf("found %d keys", len(keys))
		}
		s := newSigner(t, func(o *assertion.Options) { o.Keys = keys })
		verified(t, assert(t, s, g, "bearer", assertion.Content{}), s.KeySet())
	})
}
