package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// epoch is the current time in these tests.
var epoch = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)

const (
	year = 365 * 24 * time.Hour
	day  = 24 * time.Hour
)

func goodOptions() Options {
	return Options{Name: "Example CA", Algorithm: P256, Lifetime: year, Now: epoch}
}

func mustNew(t *testing.T, o Options) *Authority {
	t.Helper()
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mustGenerate returns a new key, or with -short a fixed one if it is RSA.
func mustGenerate(t *testing.T, algorithm Algorithm) crypto.Signer {
	t.Helper()
	if testing.Short() && algorithm == RSA2048 {
		return ca.RSAKey(t, 2048, 0)
	}
	key, err := algorithm.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wantError checks that the error contains a text, or that it is nil if want is "".
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("want no error, found %v", err)
	case want != "" && err == nil:
		t.Fatalf("want the error %q, found none", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("want the error %q, found %q", want, err)
	}
}

func TestNew(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"good", func(*Options) {}, ""},
		{"Ed25519", func(o *Options) { o.Algorithm = Ed25519 }, ""},
		{"RSA", func(o *Options) { o.Algorithm = RSA2048 }, ""},
		{"64 characters", func(o *Options) { o.Name = strings.Repeat("ü", 64) }, ""},
		{"no name", func(o *Options) { o.Name = "" }, "want an authority name of 1 to 64 characters, found 0"},
		{"65 characters", func(o *Options) { o.Name = strings.Repeat("ü", 65) }, "found 65"},
		{"control character", func(o *Options) { o.Name = "a\nb" }, `plain text, found "a\nb"`},
		{"invalid UTF-8", func(o *Options) { o.Name = "a\xff" }, `plain text, found "a\xff"`},
		{"no algorithm", func(o *Options) { o.Algorithm = "" }, `want the algorithm ed25519, p256, rsa2048 or rsa4096, found ""`},
		{"unknown algorithm", func(o *Options) { o.Algorithm = "rsa1024" }, `found "rsa1024"`},
		{"no lifetime", func(o *Options) { o.Lifetime = 0 }, "want a lifetime longer than 1m0s"},
		{"negative lifetime", func(o *Options) { o.Lifetime = -year }, "want a lifetime longer than 1m0s"},
		{"no time", func(o *Options) { o.Now = time.Time{} }, "want the time of issue"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := goodOptions()
			test.change(&options)
			_, err := New(options)
			wantError(t, err, test.want)
		})
	}
}

func TestNewCertificate(t *testing.T) {
	a := mustNew(t, goodOptions())
	certificate, err := parseCertificate(a.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignatureFrom(certificate); err != nil {
		t.Errorf("self-signature: %v", err)
	}
	if !certificate.IsCA || !certificate.MaxPathLenZero {
		t.Error("want a CA of path length 0")
	}
	if want := x509.KeyUsageCertSign | x509.KeyUsageCRLSign; certificate.KeyUsage != want {
		t.Errorf("want the key usage %b, found %b", want, certificate.KeyUsage)
	}
	if len(certificate.SubjectKeyId) == 0 {
		t.Error("want a subject key identifier")
	}
	if found := certificate.NotAfter.Sub(certificate.NotBefore); found != year {
		t.Errorf("want a lifetime of %s, found %s", year, found)
	}
	if found := certificate.NotBefore; !found.Equal(epoch.Add(-time.Minute)) {
		t.Errorf("want a start one minute before %s, found %s", epoch, found)
	}
}

func TestIssue(t *testing.T) {
	a := mustNew(t, goodOptions())
	key := mustGenerate(t, Ed25519)
	certificate, err := a.Issue(Request{Client: "mail", PublicKey: key.Public(), Lifetime: day, Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignatureFrom(a.certificate); err != nil {
		t.Errorf("signature: %v", err)
	}
	if found := certificate.Subject.String(); found != "CN=mail,OU=mail" {
		t.Errorf("want the subject CN=mail,OU=mail, found %q", found)
	}
	if !sameKey(key.Public(), certificate.PublicKey) {
		t.Error("want the client's public key in the certificate")
	}
	if found := certificate.NotAfter.Sub(certificate.NotBefore); found != day {
		t.Errorf("want a lifetime of %s, found %s", day, found)
	}
	if certificate.IsCA || !certificate.BasicConstraintsValid {
		t.Error("want basicConstraints without CA")
	}
	if certificate.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("want the key usage digitalSignature, found %b", certificate.KeyUsage)
	}
	if usage := certificate.ExtKeyUsage; len(usage) != 1 || usage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("want the extended key usage clientAuth, found %v", usage)
	}
	if !bytes.Equal(certificate.AuthorityKeyId, a.certificate.SubjectKeyId) {
		t.Error("want the authority key identifier to be the CA's subject key identifier")
	}
}

func TestIssueChecksTheRequest(t *testing.T) {
	a := mustNew(t, goodOptions())
	good := Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch}
	tests := []struct {
		name   string
		change func(*Request)
		want   string
	}{
		{"good", func(*Request) {}, ""},
		{"inner punctuation", func(r *Request) { r.Client = "team/mail+eu:1@host a" }, ""},
		{"no client", func(r *Request) { r.Client = "" }, "client name: want 1 to 64 characters"},
		{"outer space", func(r *Request) { r.Client = "mail " }, "client name: want a letter or digit at the end"},
		{"newline", func(r *Request) { r.Client = "ma\nil" }, "client name: want only ASCII letters"},
		{"no lifetime", func(r *Request) { r.Lifetime = 0 }, "want a lifetime longer than"},
		{"expires before now", func(r *Request) { r.Lifetime = time.Minute }, "want a lifetime longer than"},
		{"no time", func(r *Request) { r.Now = time.Time{} }, "want the time of issue"},
		{"expires with the CA", func(r *Request) { r.Lifetime = year }, ""},
		{"outlives the CA by a second", func(r *Request) { r.Lifetime = year + time.Second }, "when the CA certificate expires, found one that expires at 2027-11-21T11:59:01Z"},
		{"CA expired", func(r *Request) { r.Now = epoch.Add(year) }, "want a CA certificate valid at 2027-11-21T12:00:00Z"},
		{"CA not yet valid", func(r *Request) { r.Now = epoch.Add(-time.Hour) }, "want a CA certificate valid at"},
		{"no key", func(r *Request) { r.PublicKey = nil }, "want an RSA, ECDSA or Ed25519 key, found <nil>"},
		{"the master key", func(r *Request) { r.PublicKey = a.key.Public() }, "found the master key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := good
			test.change(&request)
			certificate, err := a.Issue(request)
			wantError(t, err, test.want)
			if (certificate == nil) != (err != nil) {
				t.Errorf("want a certificate or an error, found %v and %v", certificate != nil, err)
			}
		})
	}
}

func TestIssueBeginsWithinCAValidity(t *testing.T) {
	a := mustNew(t, goodOptions())
	now := a.certificate.NotBefore
	certificate, err := a.Issue(Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: now})
	wantError(t, err, "")
	if !certificate.NotBefore.Equal(now) {
		t.Errorf("want a start at %s, found %s", now, certificate.NotBefore)
	}
}

// TestIssueRefusesSubjectOfCA checks that no certificate has the same subject and issuer,
// because verifiers would treat it as self-issued.
func TestIssueRefusesSubjectOfCA(t *testing.T) {
	key := mustGenerate(t, P256)
	template, err := clientTemplate(identity.OU, "mail", validity{epoch, epoch.Add(year)})
	wantError(t, err, "")
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign
	certificate, err := sign(template, template, key.Public(), key)
	wantError(t, err, "")
	a := &Authority{key: key, certificate: certificate}
	request := Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch}
	_, err = a.Issue(request)
	wantError(t, err, `want a client whose subject is not the CA's, found "CN=mail,OU=mail"`)
	request.Client = "social"
	_, err = a.Issue(request)
	wantError(t, err, "")
}

func TestZeroAuthority(t *testing.T) {
	for _, a := range []*Authority{nil, {}} {
		_, err := a.Issue(Request{Client: "mail", PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch})
		wantError(t, err, "found its zero value")
		_, err = a.PrivateKeyPEM()
		wantError(t, err, "found its zero value")
		if a.PublicKeyPEM() != nil || a.CertificatePEM() != nil {
			t.Error("want no PEM from a zero authority")
		}
	}
}

func TestSerialsArePositiveAndRandom(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	seen := map[string]bool{}
	longest := 0
	for range 200 {
		serial, err := newSerial()
		wantError(t, err, "")
		if serial.Sign() <= 0 || serial.Cmp(limit) >= 0 {
			t.Fatalf("want a serial from 1 to 2^128-1, found %x", serial)
		}
		seen[serial.String()] = true
		longest = max(longest, serial.BitLen())
	}
	if len(seen) != 200 || longest < 120 {
		t.Errorf("want 200 serials of up to 128 bits, found %d of up to %d", len(seen), longest)
	}
}

// TestStringHidesKey checks that no verb of package fmt prints the private key. The test
// uses Ed25519, because its keys are plain byte slices.
func TestStringHidesKey(t *testing.T) {
	options := goodOptions()
	options.Algorithm = Ed25519
	a := mustNew(t, options)
	secret := fmt.Sprintf("%v", a.key)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{a, *a, struct{ A *Authority }{a}} {
			printed := fmt.Sprintf(format, value)
			if strings.Contains(printed, strings.Trim(secret, "[]")[:20]) {
				t.Errorf("%s of %T prints the key", format, value)
			}
		}
	}
	if found := a.String(); !strings.HasPrefix(found, `authority "CN=Example CA" `) {
		t.Errorf("want the subject and the key id, found %q", found)
	}
}
