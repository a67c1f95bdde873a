package httpsig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"math/big"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// unsignedRequest is a client, its message and the signature base, for tests that supply the
// signature bytes.
type unsignedRequest struct {
	testClient
	m    httpsig.Message
	base []byte
}

func newUnsigned(t *testing.T, p testClient) unsignedRequest {
	t.Helper()
	m := p.sign(t, post(p), terms())
	base, _, err := httpsig.SignatureBase(m, "sig1")
	if err != nil {
		t.Fatal(err)
	}
	return unsignedRequest{testClient: p, m: m, base: base}
}

// check runs Read and Check with the given signature bytes.
func (u unsignedRequest) check(t *testing.T, v *httpsig.Verifier, signature []byte) error {
	t.Helper()
	u.m.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(signature)+":")
	s, err := v.Read(u.m, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Check(s, u.m, u.client)
	return err
}

// signed is a test case: the bytes of a signature and the expected reason.
type signed struct {
	name      string
	signature []byte
	want      refusal.Reason
}

func (u unsignedRequest) checkAll(t *testing.T, legacyRSA bool, cases []signed) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := newVerifier()
			v.LegacyRSA = legacyRSA
			wantReason(t, u.check(t, v, tt.signature), tt.want)
		})
	}
}

// TestECDSASignature asserts that only the concatenation of r and s in fixed length is
// accepted.
func TestECDSASignature(t *testing.T) {
	key := p256(t)
	u := newUnsigned(t, newIssuer(t).issue(key))
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("want an ECDSA key")
	}
	sum := sha256.Sum256(u.base)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	wide := sha512.Sum384(u.base)
	otherR, otherS, err := ecdsa.Sign(rand.Reader, private, wide[:])
	if err != nil {
		t.Fatal(err)
	}
	order := private.Params().N
	pair := func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	good := pair(r, s)
	zero := new(big.Int)
	u.checkAll(t, false, []signed{
		{"good", good, ""},
		// Any program can compute the other s without the key. Replay is still impossible,
		// because the nonce is the same.
		{"the other s", pair(r, new(big.Int).Sub(order, s)), ""},
		{"s and r", pair(s, r), invalid},
		{"r is zero", pair(zero, s), invalid},
		{"s is zero", pair(r, zero), invalid},
		{"both zero", make([]byte, 64), invalid},
		{"r is the order", pair(order, s), invalid},
		{"s is the order", pair(r, order), invalid},
		{"all ones", bytes.Repeat([]byte{0xff}, 64), invalid},
		{"DER", der, invalid},
		{"a byte short", good[:63], invalid},
		{"a byte long", append(good[:64:64], 0), invalid},
		{"a leading zero", append([]byte{0}, good...), invalid},
		{"a zero between r and s", append(append(good[:32:32], 0), good[32:]...), invalid},
		{"leading zeros", append(make([]byte, 16), good...), invalid},
		{"a P-384 signature's length", make([]byte, 96), invalid},
		{"none", nil, invalid},
		{"another hash", pair(otherR, otherS), invalid},
	})
}

// TestRSASignature asserts that PSS is accepted only with SHA-512 and a salt of 64 bytes,
// and that PKCS #1 v1.5 with SHA-256 is accepted only with LegacyRSA.
func TestRSASignature(t *testing.T) {
	key := ca.RSAKey(t, 2048, 0)
	u := newUnsigned(t, newIssuer(t).issue(key))
	sum256, sum512 := sha256.Sum256(u.base), sha512.Sum512(u.base)
	pss := func(hash crypto.Hash, sum []byte, salt int) []byte {
		signature, err := rsa.SignPSS(rand.Reader, key, hash, sum, &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	v15 := func(hash crypto.Hash, sum []byte) []byte {
		signature, err := rsa.SignPKCS1v15(nil, key, hash, sum)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	good := pss(crypto.SHA512, sum512[:], 64)
	cases := []signed{
		{"good", good, ""},
		{"no salt", pss(crypto.SHA512, sum512[:], 0), invalid},
		{"a salt of 63", pss(crypto.SHA512, sum512[:], 63), invalid},
		{"the longest salt", pss(crypto.SHA512, sum512[:], rsa.PSSSaltLengthAuto), invalid},
		{"another hash", pss(crypto.SHA256, sum256[:], 64), invalid},
		{"a byte short", good[1:], invalid},
		{"a leading zero", append([]byte{0}, good...), invalid},
		{"a trailing zero", append(good[:256:256], 0), invalid},
		{"all ones", bytes.Repeat([]byte{0xff}, 256), invalid},
		{"none", nil, invalid},
		{"v1.5 with another hash", v15(crypto.SHA512, sum512[:]), invalid},
	}
	u.checkAll(t, false, append(cases, signed{"v1.5", v15(crypto.SHA256, sum256[:]), invalid}))
	t.Run("legacy", func(t *testing.T) {
		u.checkAll(t, true, append(cases, signed{"v1.5", v15(crypto.SHA256, sum256[:]), ""}))
	})
}

// TestEd25519Signature asserts that each signature has only one accepted encoding.
func TestEd25519Signature(t *testing.T) {
	key := edKey(t)
	u := newUnsigned(t, newIssuer(t).issue(key))
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		t.Fatal("want an Ed25519 key")
	}
	good := ed25519.Sign(private, u.base)
	sum := sha512.Sum512(u.base)
	prehashed, err := private.Sign(nil, sum[:], &ed25519.Options{Hash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	u.checkAll(t, false, []signed{
		{"good", good, ""},
		{"s plus the group order", append(good[:32:32], plusOrder(good[32:])...), invalid},
		{"prehashed", prehashed, invalid},
		{"a byte short", good[:63], invalid},
		{"a byte long", append(good[:64:64], 0), invalid},
		{"zeros", make([]byte, 64), invalid},
		{"none", nil, invalid},
	})
}

// plusOrder adds the group order to a little-endian scalar. The result is the same scalar
// in a non-canonical encoding.
func plusOrder(s []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	big1 := make([]byte, 32)
	for i, c := range s {
		big1[31-i] = c
	}
	sum := new(big.Int).Add(new(big.Int).SetBytes(big1), order).FillBytes(make([]byte, 32))
	for i := range 16 {
		sum[i], sum[31-i] = sum[31-i], sum[i]
	}
	return sum
}
