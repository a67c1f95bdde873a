package certcache_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/tool/pki"
)

// TestMain checks that a cache leaves no goroutine behind, because every reload discards one.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	skew  = time.Minute
	limit = 16 << 10
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// testCA is one master key.
type testCA struct {
	*pki.Authority

	tb  testing.TB
	key crypto.Signer
	ca  *x509.Certificate
}

func newTestCA(tb testing.TB, algorithm pki.Algorithm, lifetime time.Duration) testCA {
	tb.Helper()
	a, err := pki.New(pki.Options{Name: "test", Algorithm: algorithm, Lifetime: lifetime, Now: start})
	if err != nil {
		tb.Fatal(err)
	}
	text, err := a.PrivateKeyPEM()
	if err != nil {
		tb.Fatal(err)
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(a.CertificatePEM())
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return testCA{a, tb, key, ca}
}

// issue returns a client's certificate that expires one hour after start.
func (o testCA) issue(client string) *x509.Certificate {
	o.tb.Helper()
	key, err := pki.P256.Generate()
	if err != nil {
		o.tb.Fatal(err)
	}
	cert, err := o.Issue(pki.Request{Client: client, PublicKey: key.Public(), Lifetime: time.Hour, Now: start})
	if err != nil {
		o.tb.Fatal(err)
	}
	return cert
}

// sign returns a certificate that pki would not issue.
func sign(tb testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// period returns a template of a client's or an intermediate's certificate with these dates.
func period(name string, from, to time.Time, isCA bool) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: from, NotAfter: to, BasicConstraintsValid: true, IsCA: isCA,
		Subject: pkix.Name{OrganizationalUnit: []string{name}, CommonName: name},
	}
	if isCA {
		t.SubjectKeyId = []byte{1}
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return t
}

func (o testCA) crl(tb testing.TB, ca *x509.Certificate, this, next time.Time, revoked ...*x509.Certificate) []byte {
	tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: this, NextUpdate: next}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: this})
	}
	list, err := x509.CreateRevocationList(rand.Reader, template, ca, o.key)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func keyring(tb testing.TB, text ...[]byte) *trust.Keyring {
	tb.Helper()
	var all []byte
	for _, t := range text {
		all = append(all, t...)
	}
	ring, err := trust.ParseKeyring(all, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func verifier(tb testing.TB, o testCA) *trust.Verifier {
	tb.Helper()
	return trust.NewVerifier(keyring(tb, o.PublicKeyPEM()), nil, trust.Limits{ClockSkew: skew})
}

func encode(chain ...*x509.Certificate) string {
	var ders [][]byte
	for _, c := range chain {
		ders = append(ders, c.Raw)
	}
	return certheader.Encode(certheader.Base64DER, ders...)
}

// claim returns the claim of a request with these header values.
func claim(values ...string) gate.Claim { return gate.Claim{Values: values} }

// countingIdentifier counts the calls of its verification.
type countingIdentifier struct {
	gate.Verification

	calls atomic.Int64
}

func counting(v *trust.Verifier) *countingIdentifier {
	return &countingIdentifier{Verification: gate.Verification{Verifier: v, Names: identity.OU.Reader(), MaxCredentialBytes: limit}}
}

func (c *countingIdentifier) Identify(claim gate.Claim, now time.Time) gate.Identification {
	c.calls.Add(1)
	return c.Verification.Identify(claim, now)
}

// check checks for the client's name, or for a refusal with the reason.
func check(tb testing.TB, found gate.Identification, client string, want refusal.Reason) {
	tb.Helper()
	if want != "" {
		if d := refusal.Of(found.Err); d == nil || d.Reason != want || found.Client.Valid() {
			tb.Errorf("want %s and no client, found %v and %q", want, found.Err, found.Client)
		}
		return
	}
	if found.Err != nil || found.Client.Name() != client || !found.Certificate.Valid() || found.Last != gate.Identity {
		tb.Errorf("want %q, found %q at step %s, %v", client, found.Client, found.Last, found.Err)
	}
}

func checkCalls(tb testing.TB, inner *countingIdentifier, want int64) {
	tb.Helper()
	if have := inner.calls.Load(); have != want {
		tb.Errorf("%d verifications, want %d", have, want)
	}
}
