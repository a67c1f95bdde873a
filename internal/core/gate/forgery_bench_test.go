package gate_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// BenchmarkForgery measures the refusal of certificates that no anchor signed. Refusals are
// not cached, so each request of a flood costs this. Only the plausible forgery should cost
// a public key operation.
func BenchmarkForgery(b *testing.B) {
	for _, bits := range []int{2048, 4096} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			b.Fatal(err)
		}
		ca := forge(b, forgery{issuer: "ca", isCA: true, key: key})
		bare, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			b.Fatal(err)
		}
		for _, anchor := range []pem.Block{{Type: "PUBLIC KEY", Bytes: bare}, {Type: "CERTIFICATE", Bytes: ca.Raw}} {
			ring, err := trust.ParseKeyring(pem.EncodeToMemory(&anchor), 0)
			if err != nil {
				b.Fatal(err)
			}
			verification := gate.Verification{Verifier: trust.NewVerifier(ring, nil, trust.Limits{}), Names: identity.OU.Reader(), MaxCredentialBytes: 16 << 10}
			b.Run(fmt.Sprintf("RSA-%d/%s", bits, strings.ToLower(anchor.Type)), func(b *testing.B) {
				benchmarkForgeries(b, verification, key)
			})
		}
	}
}

func benchmarkForgeries(b *testing.B, verification gate.Verification, key *rsa.PrivateKey) {
	b.Helper()
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	shorter, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		b.Fatal(err)
	}
	damaged := slices.Clone(forge(b, forgery{issuer: "ca", key: key}).Raw)
	damaged[len(damaged)-20] ^= 1
	issuer := slices.Clone(damaged)
	issuer[bytes.Index(issuer, []byte("ca"))] = 'b' // no effect for a bare key, which has no name
	for _, f := range []struct {
		name string
		der  []byte
		want refusal.Reason
	}{
		{"shape", []byte{0x30, 3, 2, 1, 1}, refusal.CredentialMalformed},
		{"algorithm", forge(b, forgery{issuer: "ca", key: foreign}).Raw, refusal.CertificateUntrusted},
		{"length", forge(b, forgery{issuer: "ca", key: shorter}).Raw, refusal.CertificateUntrusted},
		{"issuer", issuer, refusal.CertificateUntrusted},
		{"plausible", damaged, refusal.CertificateUntrusted},
	} {
		claim := gate.Claim{Values: []string{certheader.Encode(certheader.Base64DER, f.der)}}
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := refusal.Of(verification.Identify(claim, now).Err); d == nil || d.Reason != f.want {
					b.Fatal(d)
				}
			}
		})
	}
}

// forgery holds the variable parts of a forged certificate.
type forgery struct {
	issuer string
	isCA   bool
	key    crypto.Signer
}

func forge(b *testing.B, f forgery) *x509.Certificate {
	b.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		Subject: pkix.Name{OrganizationalUnit: []string{"mail"}}, BasicConstraintsValid: true, IsCA: f.isCA, SubjectKeyId: []byte{1},
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: f.issuer}, SubjectKeyId: []byte{2}}
	if f.isCA {
		template.Subject = parent.Subject
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, f.key.Public(), f.key)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return cert
}
