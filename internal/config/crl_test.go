package config_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// issuer is a CA. Its revocation lists are valid for an hour, its certificates for a day.
type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var issued = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func newIssuer(tb testing.TB) issuer {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "certgate test CA"},
		NotBefore: issued, NotAfter: issued.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return issuer{key, certificate(tb, template, template, key, key)}
}

func certificate(tb testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func (i issuer) anchor() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

// client issues a client certificate for key.
func (i issuer) client(tb testing.TB, serial int64, key *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	return certificate(tb, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotBefore: issued, NotAfter: issued.AddDate(0, 0, 1),
	}, i.cert, key, i.key)
}

// list returns a revocation list in DER.
func (i issuer) list(tb testing.TB, serials ...int64) []byte {
	tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: issued, NextUpdate: issued.Add(time.Hour)}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: issued})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, i.cert, i.key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func asPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// inFolder changes the working directory to a new folder with the files, so that their
// names are short enough for errors to quote.
func inFolder(tb testing.TB, files map[string][]byte) {
	tb.Helper()
	tb.Chdir(tb.TempDir())
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// withLists returns an environment that trusts only the issuer.
func (i issuer) withLists(tb testing.TB, set map[string]string) map[string]string {
	tb.Helper()
	environ := required(tb)
	environ["AUTH_PUBLIC_KEY"] = i.anchor()
	maps.Copy(environ, set)
	return environ
}

// TestVerifier verifies a certificate with the serial number 7 with the verifiers of
// different configurations.
func TestVerifier(t *testing.T) {
	ca := newIssuer(t)
	client, shared := ca.client(t, 7, newKey(t)), ca.client(t, 7, ca.key)
	inFolder(t, map[string][]byte{
		"none.pem": asPEM(ca.list(t)), "seven.crl": ca.list(t, 6, 7), "both.pem": append(asPEM(ca.list(t, 5)), asPEM(ca.list(t, 7))...),
	})
	denied := func(field, value string) string { return goodRules + "deny: [{" + field + ": '" + value + "'}]\n" }
	good := client.NotBefore.Add(time.Minute)
	stale := client.NotBefore.Add(2 * time.Hour)
	tests := []struct {
		name string
		set  map[string]string
		cert *x509.Certificate
		at   time.Time
		want refusal.Reason // "" means verified
	}{
		{"without lists", nil, client, good, ""},
		{"on no list", map[string]string{"AUTH_CRL_FILE": "none.pem"}, client, good, ""},
		{"on the list", map[string]string{"AUTH_CRL_FILE": "seven.crl"}, client, good, refusal.CertificateRevoked},
		{"on the second list of a file", map[string]string{"AUTH_CRL_FILE": "both.pem"}, client, good, refusal.CertificateRevoked},
		{"on the list of the first file", map[string]string{"AUTH_CRL_FILE": "seven.crl,none.pem"}, client, good, refusal.CertificateRevoked},
		{"on the list of the second file", map[string]string{"AUTH_CRL_FILE": "none.pem, seven.crl"}, client, good, refusal.CertificateRevoked},
		{"stale list", map[string]string{"AUTH_CRL_FILE": "none.pem"}, client, stale, refusal.RevocationUnknown},
		{"stale list, refused", map[string]string{"AUTH_CRL_FILE": "none.pem", "AUTH_CRL_STALE": "refuse"}, client, stale, refusal.RevocationUnknown},
		{"stale list, used", map[string]string{"AUTH_CRL_FILE": "none.pem", "AUTH_CRL_STALE": "use"}, client, stale, ""},
		{"on the stale list, used", map[string]string{"AUTH_CRL_FILE": "seven.crl", "AUTH_CRL_STALE": "use"}, client, stale, refusal.CertificateRevoked},
		{"master key", nil, shared, good, ""},
		{"master key, allowed", map[string]string{"AUTH_ALLOW_SHARED_KEY": "true"}, shared, good, ""},
		{"master key, refused", map[string]string{"AUTH_ALLOW_SHARED_KEY": "false"}, shared, good, refusal.LegacySharedKey},
		{"own key where the master key is refused", map[string]string{"AUTH_ALLOW_SHARED_KEY": "false"}, client, good, ""},
		{"serial denied", map[string]string{"ACCESS_RULES": denied("serial", "7")}, client, good, refusal.CertificateRevoked},
		{"too long", map[string]string{"AUTH_MAX_LIFETIME": "23h"}, client, good, refusal.CertificateLifetime},
		{"another key", map[string]string{"AUTH_PUBLIC_KEY": required(t)["AUTH_PUBLIC_KEY"]}, client, good, refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, ca.withLists(t, tt.set)).Verifier().Verify(tt.cert, tt.at)
			if have := pathErrorCause(err); have != tt.want {
				t.Errorf("refused with %q (%v), want %q", have, err, tt.want)
			}
		})
	}
	if _, err := (config.Config{}).Verifier().Verify(client, good); pathErrorCause(err) != refusal.CertificateUntrusted {
		t.Errorf("the zero Config: %v, want %q", err, refusal.CertificateUntrusted)
	}
}

func pathErrorCause(err error) refusal.Reason {
	if refused := refusal.Of(err); refused != nil {
		return refused.Reason
	}
	return ""
}

func TestCRLFiles(t *testing.T) {
	ca := newIssuer(t)
	inFolder(t, map[string][]byte{"a": ca.list(t), "b": append(asPEM(ca.list(t, 1)), asPEM(ca.list(t, 2, 3))...)})
	c := load(t, ca.withLists(t, map[string]string{"AUTH_CRL_FILE": " a ,b"}))
	if want := []string{"a", "b"}; !slices.Equal(c.CRLFiles, want) {
		t.Errorf("files %q, want %q", c.CRLFiles, want)
	}
	again, err := config.ParseCRLs(contents(c.CRLFiles...), c.Keyring)
	if err != nil {
		t.Fatal(err)
	}
	for name, lists := range map[string][]*trust.CRL{"loaded": c.CRLs, "read again": again} {
		var have []int
		for _, l := range lists {
			have = append(have, l.Len())
		}
		if want := []int{0, 1, 2}; !slices.Equal(have, want) {
			t.Errorf("%s: revoked on each list %d, want %d", name, have, want)
		}
	}
}

// TestNoCRLs checks that no files result in no lists and no error.
func TestNoCRLs(t *testing.T) {
	lists, err := config.ParseCRLs(nil, nil)
	if len(lists) != 0 || err != nil {
		t.Errorf("%d lists, %v: want none", len(lists), err)
	}
}

// TestCRLFaults checks that every file is parsed and that every fault contains the name
// of its file, at start and after a change.
func TestCRLFaults(t *testing.T) {
	ca, other := newIssuer(t), newIssuer(t)
	long := filepath.Join("folder", strings.Repeat("x", 80))
	inFolder(t, map[string][]byte{
		"good": ca.list(t), "empty": nil, "foreign": other.list(t), "text": []byte("deny: []\n"),
		"pair": append(asPEM(ca.list(t)), asPEM(other.list(t))...), "anchor": []byte(ca.anchor()), "big": make([]byte, 16<<20+1),
	})
	const unreadable = "list 1: want a version 2 revocation list in DER or PEM, found one that cannot be read"
	const unsigned = "want a list signed by a key in force"
	tests := []struct {
		files string
		want  []string // beginnings, one for each fault
	}{
		{"empty", []string{"empty: " + unreadable}},
		{"text", []string{"text: " + unreadable}},
		{"foreign", []string{"foreign: list 1: " + unsigned}},
		{"good,pair", []string{"pair: list 2: " + unsigned}},
		{"anchor", []string{`anchor: line 1: want X509 CRL, found "CERTIFICATE"`}},
		{"missing", []string{`found "missing": no such file or directory`}},
		{"big", []string{`found "big": more than 16777216 bytes`}},
		{"good," + long, []string{"found a text of 87 bytes: no such file or directory (file 2 of 2)"}},
		{"missing,good,text,.", []string{
			`found "missing": no such file or directory (file 1 of 4)`, "text: " + unreadable, `found ".": is a directory (file 4 of 4)`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.files, func(t *testing.T) {
			var atStart []string
			for _, f := range faults(t, ca.withLists(t, map[string]string{"AUTH_CRL_FILE": tt.files})) {
				if f.Variable != "AUTH_CRL_FILE" {
					t.Errorf("found a fault of %s", f.Variable)
				}
				if strings.HasPrefix(f.Problem, "found ") != strings.HasSuffix(f.Problem, wantLists) {
					t.Errorf("fault %q, want the expectation if and only if the file cannot be read", f.Problem)
				}
				atStart = append(atStart, f.Problem)
			}
			lists, err := config.ParseCRLs(contents(strings.Split(tt.files, ",")...), keyring(t, ca.anchor()))
			if err == nil || lists != nil {
				t.Fatalf("%d lists, %v: want an error alone", len(lists), err)
			}
			for _, have := range [][]string{atStart, strings.Split(err.Error(), "\n")} {
				if !slices.EqualFunc(have, tt.want, strings.HasPrefix) {
					t.Errorf("faults %q, want %q", have, tt.want)
				}
			}
		})
	}
}

// TestCRLsWithoutKeys checks that without a keyring missing files are reported and
// unverifiable lists are not.
func TestCRLsWithoutKeys(t *testing.T) {
	ca := newIssuer(t)
	inFolder(t, map[string][]byte{"good": ca.list(t), "text": []byte("?")})
	environ := ca.withLists(t, map[string]string{"AUTH_PUBLIC_KEY": "?", "AUTH_CRL_FILE": "good,text,missing"})
	var have []string
	for _, f := range faults(t, environ) {
		have = append(have, f.Variable)
	}
	if want := []string{"AUTH_PUBLIC_KEY", "AUTH_CRL_FILE"}; !slices.Equal(have, want) {
		t.Errorf("faults of %q, want %q", have, want)
	}
	if lists, err := config.ParseCRLs(contents("good"), nil); err == nil || lists != nil {
		t.Errorf("%d lists, %v: want a refusal without keys", len(lists), err)
	}
}

func keyring(tb testing.TB, text string) *trust.Keyring {
	tb.Helper()
	ring, err := trust.ParseKeyring([]byte(text), 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}
