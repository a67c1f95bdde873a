package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/ca"
)

func TestCheckPublicKey(t *testing.T) {
	strong, ok := mustGenerate(t, RSA2048).Public().(*rsa.PublicKey)
	if !ok {
		t.Fatal("want an RSA key")
	}
	point, ok := mustGenerate(t, P256).Public().(*ecdsa.PublicKey)
	if !ok {
		t.Fatal("want an ECDSA key")
	}
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	wantError(t, err, "")
	odd := new(big.Int).Lsh(big.NewInt(1), 8192)
	tests := []struct {
		name string
		key  crypto.PublicKey
		want string
	}{
		{"RSA", strong, ""},
		{"RSA of 1024 bits", weakRSA(t).Public(), "want an RSA key of 2048 to 8192 bits, found 1024"},
		{"RSA of 8193 bits", &rsa.PublicKey{N: odd.SetBit(odd, 0, 1), E: 65537}, "found 8193"},
		{"RSA exponent 3", &rsa.PublicKey{N: strong.N, E: 3}, "want an odd RSA exponent of at least 65537, found 3"},
		{"RSA exponent even", &rsa.PublicKey{N: strong.N, E: 65538}, "found 65538"},
		{"RSA empty", &rsa.PublicKey{}, "want an RSA key, found an empty one"},
		{"P-256", point, ""},
		{"P-224", weakECDSA(t).Public(), "want an ECDSA key on P-256, P-384 or P-521, found P-224"},
		{"ECDSA empty", &ecdsa.PublicKey{}, "want an ECDSA key, found an empty one"},
		{"not on the curve", offCurve(point), "want a point on P-256"},
		{"Ed25519", mustGenerate(t, Ed25519).Public(), ""},
		{"Ed25519 short", ed25519.PublicKey{1}, "want an Ed25519 key of 32 bytes, found 1"},
		{"X25519", agreement.Public(), "want an RSA, ECDSA or Ed25519 key, found *ecdh.PublicKey"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, checkPublicKey(test.key), test.want)
		})
	}
}

// offCurve returns a key whose point is not on the curve. It sets the fields, because no
// constructor returns such a key.
func offCurve(key *ecdsa.PublicKey) *ecdsa.PublicKey {
	//nolint:staticcheck // No function returns an invalid point.
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: key.X, Y: new(big.Int).Add(key.Y, big.NewInt(1))}
}

func TestParseKey(t *testing.T) {
	ec, ok := mustGenerate(t, P256).(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("want an ECDSA key")
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	wantError(t, err, "")
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	wantError(t, err, "")
	x25519, err := x509.MarshalPKCS8PrivateKey(agreement)
	wantError(t, err, "")
	weak := weakRSA(t)
	pkcs8 := encode(t, ec)
	parameters := pemBlock("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	legacy := pem.EncodeToMemory(&pem.Block{
		Type:    "RSA PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes:   []byte{1},
	})
	tests := []struct {
		name string
		text []byte
		want string
	}{
		{"PKCS 8", pkcs8, ""},
		{"SEC 1", pemBlock("EC PRIVATE KEY", sec1), ""},
		{"PKCS 1", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), ""},
		{"EC parameters first", append(parameters, pemBlock("EC PRIVATE KEY", sec1)...), ""},
		{"white space around", append([]byte("\n  \n"), append(pkcs8, " \n\n"...)...), ""},
		{"empty", nil, "want one private key, found none"},
		{"two keys", bytes.Repeat(pkcs8, 2), `want one private key, found "PRIVATE KEY", "PRIVATE KEY"`},
		{"text before", append([]byte("hunter2\n"), pkcs8...), "found other text"},
		{"text after", append(bytes.Clone(pkcs8), "hunter2\n"...), "found other text"},
		{"truncated", pkcs8[:len(pkcs8)-20], "found a damaged one"},
		{"damaged before", append(bytes.Replace(pkcs8, []byte("\n"), []byte("\n!"), 1), pkcs8...), "found a damaged one"},
		{"public key", pemBlock("PUBLIC KEY", []byte{1}), `found "PUBLIC KEY"`},
		{"encrypted", pemBlock("ENCRYPTED PRIVATE KEY", []byte{1}), "want an unencrypted private key"},
		{"encrypted, RFC 1421", legacy, "want an unencrypted private key"},
		{"X25519", pemBlock("PRIVATE KEY", x25519), "want an RSA, ECDSA or Ed25519 private key, found *ecdh.PrivateKey"},
		{"no DER", pemBlock("PRIVATE KEY", []byte("hunter2")), "asn1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key, err := ParseKey(test.text)
			wantError(t, err, test.want)
			if (key == nil) != (err != nil) {
				t.Errorf("want a key or an error, found %v and %v", key != nil, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("want an error that does not quote the text, found %q", err)
			}
		})
	}
}

func TestEncodeKeyRoundTrip(t *testing.T) {
	for _, algorithm := range []Algorithm{Ed25519, P256, RSA2048, RSA4096} {
		t.Run(string(algorithm), func(t *testing.T) {
			if testing.Short() && algorithm == RSA4096 {
				t.Skip("-short: this test makes a key of 4096 bits")
			}
			key := mustGenerate(t, algorithm)
			read, err := ParseKey(encode(t, key))
			wantError(t, err, "")
			if same, ok := key.(interface{ Equal(crypto.PrivateKey) bool }); !ok || !same.Equal(read) {
				t.Error("want the encoded key")
			}
			wantError(t, checkPublicKey(read.Public()), "")
		})
	}
	_, err := EncodeKey(nil)
	wantError(t, err, "want a private key, found none")
}

func TestEncodeNilCertificate(t *testing.T) {
	if found := EncodeCertificate(nil); found != nil {
		t.Errorf("want no text, found %q", found)
	}
}

// FuzzParseKey checks that every key that ParseKey accepts can be encoded, and that
// parsing the result returns the same key.
func FuzzParseKey(f *testing.F) {
	for _, algorithm := range []Algorithm{Ed25519, P256, RSA2048} {
		key, err := algorithm.Generate()
		if err != nil {
			f.Fatal(err)
		}
		text, err := EncodeKey(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)/2])
		f.Add(append(bytes.Clone(text), text...))
	}
	f.Add([]byte("-----BEGIN EC PARAMETERS-----\n-----END EC PARAMETERS-----\n"))
	f.Add([]byte("-----BEGIN -----\n-----END -----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseKey(text)
		if err != nil {
			return
		}
		again, err := EncodeKey(key)
		if err != nil {
			t.Fatalf("want a parsed key to be encoded, found %v", err)
		}
		read, err := ParseKey(again)
		if err != nil {
			t.Fatalf("want an encoded key to be parsed, found %v", err)
		}
		if !sameKey(key.Public(), read.Public()) {
			t.Fatal("want the same key")
		}
	})
}

func weakRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	return ca.RSAKey(t, 1024, 0)
}

func weakECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	wantError(t, err, "")
	return key
}

func encode(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	text, err := EncodeKey(key)
	wantError(t, err, "")
	return text
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
