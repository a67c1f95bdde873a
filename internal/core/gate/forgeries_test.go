package gate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"runtime"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// credentialBytes is the default of MAX_CREDENTIAL_BYTES.
const credentialBytes = 16 << 10

// largest returns the largest number up to limit for which ok is true. If it is true for a
// number, it is true for all smaller ones.
func largest(limit int, ok func(n int) bool) int {
	return sort.Search(limit, func(n int) bool { return !ok(n + 1) })
}

// forgeries returns the plain forgery, and for each shape the most expensive credential
// that is verified and not refused for its number of elements, filled up to the limit of
// the header, and the longest that fits the header.
func forgeries(v gate.Verification, shapes []shape) []forged {
	fits := func(value string) bool { return len(value) <= v.MaxCredentialBytes }
	verified := func(value string) bool {
		d := refusal.Of(v.Identify(gate.Claim{Values: []string{value}}, now).Err)
		return d == nil || d.Reason != refusal.CredentialTooLarge
	}
	all := []forged{{"plain forgery", shapes[0].build(0, 0)}}
	for _, s := range shapes {
		size := v.MaxCredentialBytes
		whole := largest(size, func(n int) bool { return fits(s.build(n, 1)) })
		part := largest(whole, func(n int) bool { return verified(s.build(n, 1)) })
		pad := largest(size, func(n int) bool { return fits(s.build(part, n)) })
		all = append(all, forged{s.name, s.build(part, pad)})
		if whole != part {
			all = append(all, forged{s.name + ", too many", s.build(whole, 1)})
		}
	}
	return all
}

// forged is one credential.
type forged struct{ name, value string }

// generateRSA returns the key that costs the most memory for each signature.
func generateRSA(tb testing.TB) crypto.Signer {
	tb.Helper()
	return ca.RSAKey(tb, 2048, 0)
}

// generateP256 returns a key that is made in no time.
func generateP256(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// newMint returns a verification with anchors of one name, and a mint whose
// certificates name them as their issuer.
func newMint(tb testing.TB, generate func(testing.TB) crypto.Signer, anchors, size int) (gate.Verification, mint) {
	tb.Helper()
	var text []byte
	var ca *x509.Certificate
	for range anchors {
		ca = authorityOf(tb, generate(tb))
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})...)
	}
	ring, err := trust.ParseKeyring(text, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(ca.Raw, &outer); err != nil {
		tb.Fatal(err)
	}
	m := mint{issuer: ca.RawSubject, key: ca.RawSubjectPublicKeyInfo, signature: ca.Signature, algorithm: outer.Algorithm.FullBytes}
	return gate.Verification{Verifier: trust.NewVerifier(ring, nil, trust.Limits{}), Names: identity.OU.Reader(), MaxCredentialBytes: size}, m
}

func authorityOf(tb testing.TB, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	template.Subject.CommonName = "ca"
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return ca
}

// refuse identifies a forged credential and expects a refusal.
func refuse(tb testing.TB, v gate.Verification, f forged) {
	tb.Helper()
	if found := v.Identify(gate.Claim{Values: []string{f.value}}, now); refusal.Of(found.Err) == nil {
		tb.Fatalf("%s: want a refusal, found %v", f.name, found.Err)
	}
}

// TestForgeriesAllocateLittle compares what the gateway allocates for the worst
// forgeries with what it allocates for a plain one: at most 1 MiB more with the
// default limit, and at most 16 times the credential with a larger one.
func TestForgeriesAllocateLittle(t *testing.T) {
	const runs = 3
	for _, tt := range []struct {
		anchors, size int
		more          uint64
	}{
		{1, credentialBytes, 1 << 20},
		{trust.MaxAnchors, credentialBytes, 1 << 20},
		{trust.MaxAnchors, 128 << 10, 2 << 20},
	} {
		t.Run(fmt.Sprintf("%d anchors, %d bytes", tt.anchors, tt.size), func(t *testing.T) {
			if testing.Short() && tt.size > credentialBytes {
				t.Skip("-short: this test makes certificates of 128 KiB")
			}
			v, m := newMint(t, generateP256, tt.anchors, tt.size)
			all := forgeries(v, m.shapes())
			plain := allocatedBytes(runs, func() { refuse(t, v, all[0]) })
			for _, f := range all {
				if got := allocatedBytes(runs, func() { refuse(t, v, f) }); got > plain+tt.more {
					t.Errorf("%s: want at most %d bytes, found %d", f.name, plain+tt.more, got)
				}
			}
		})
	}
}

func allocatedBytes(runs uint64, f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// BenchmarkForgeries measures the worst forgeries with one anchor and with eight of
// one name. The first is a plain forgery, whose signature is verified for each
// anchor; the others should cost at most four times as much.
func BenchmarkForgeries(b *testing.B) {
	for _, anchors := range []int{1, trust.MaxAnchors} {
		v, m := newMint(b, generateRSA, anchors, credentialBytes)
		for _, f := range forgeries(v, m.shapes()) {
			b.Run(strconv.Itoa(anchors)+" anchors/"+f.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					refuse(b, v, f)
				}
			})
		}
	}
}
