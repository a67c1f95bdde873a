package trust_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

func TestZeroIsNeverValidAt(t *testing.T) {
	for _, at := range []time.Time{{}, time.Now(), time.Unix(0, 0)} {
		if (trust.Verified{}).ValidAt(at) {
			t.Errorf("a zero Verified is valid at %s", at)
		}
	}
}

// certificateMaker makes certificates with given validity periods, all with one key: an
// RSA key of 1024 bits, which verifies the thousands of signatures of these tests fastest.
type certificateMaker struct {
	key    *rsa.PrivateKey
	serial int64
}

// period is a period in minutes relative to ca.Now.
type period struct{ from, to int }

func (s period) times() (from, to time.Time) {
	return ca.Now().Add(time.Duration(s.from) * time.Minute), ca.Now().Add(time.Duration(s.to) * time.Minute)
}

func newCertificateMaker(t *testing.T) *certificateMaker {
	t.Helper()
	key := ca.RSAKey(t, 1024, 0)
	return &certificateMaker{key: key}
}

// certificate returns a certificate signed by issuer, or self-signed if issuer is nil. It
// is a CA certificate unless the name is "mail".
func (l *certificateMaker) certificate(t rapid.TB, name string, s period, issuer *x509.Certificate) *x509.Certificate {
	t.Helper()
	l.serial++
	template := &x509.Certificate{SerialNumber: big.NewInt(l.serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true}
	template.NotBefore, template.NotAfter = s.times()
	if template.IsCA = name != "mail"; template.IsCA {
		template.KeyUsage, template.SubjectKeyId = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, []byte(name)
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, l.key.Public(), l.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (l *certificateMaker) list(t rapid.TB, ca *x509.Certificate, s period, ring *trust.Keyring, revoked ...*x509.Certificate) *trust.CRL {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1)}
	template.ThisUpdate, template.NextUpdate = s.times()
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca, l.key)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := trust.ParseCRLs(der, ring)
	if err != nil {
		t.Fatal(err)
	}
	return lists[0]
}

// checkValidAt verifies the chain at every end of a period, and just before and after. If
// ValidAt returns true for one of these times, verifying at that time must give the same
// result. It returns how often ValidAt was true.
func checkValidAt(t rapid.TB, v *trust.Verifier, periods []period, skew time.Duration, chain ...*x509.Certificate) (count int) {
	t.Helper()
	type result struct {
		verified trust.Verified
		err      error
	}
	results := map[time.Time]result{}
	for _, s := range periods {
		from, to := s.times()
		for _, edge := range []time.Time{from, to, from.Add(-skew), to.Add(skew)} {
			for _, at := range []time.Time{edge.Add(-1), edge, edge.Add(1)} {
				if _, known := results[at]; !known {
					verified, err := v.Verify(chain[0], at, chain[1:]...)
					results[at] = result{verified, err}
				}
			}
		}
	}
	for from, before := range results {
		if before.err == nil && !before.verified.ValidAt(from) {
			t.Fatalf("verified at %s and not valid at that time", from)
		}
		for at, then := range results {
			if !before.verified.ValidAt(at) {
				continue
			}
			count++
			if then.err != nil || then.verified.KeyID() != before.verified.KeyID() {
				t.Fatalf("verified at %s, valid at %s, but verifying at that time returned: key %s, %v", from, at, then.verified.KeyID().Short(), then.err)
			}
		}
	}
	return count
}

// TestValidAt checks that each validity period alone limits the period in which a result
// is valid.
func TestValidAt(t *testing.T) {
	t.Parallel()
	l := newCertificateMaker(t)
	wide, narrow := period{-60, 60}, period{-10, 10}
	tests := []struct {
		name                string
		leaf, between, root period
		list                *period
		staleOK             bool
		want                period // without clock skew
		noSkewAtEnd         bool
	}{
		{name: "leaf", leaf: narrow, between: wide, root: wide, want: narrow},
		{name: "intermediate", leaf: wide, between: narrow, root: wide, want: narrow},
		{name: "root", leaf: wide, between: wide, root: narrow, want: narrow},
		{name: "list", leaf: wide, between: wide, root: wide, list: &narrow, want: narrow, noSkewAtEnd: true},
		{name: "list that may be outdated", leaf: wide, between: wide, root: wide, list: &narrow, staleOK: true, want: wide},
		{name: "one begins, another ends", leaf: period{-5, 60}, between: period{-60, 7}, root: wide, want: period{-5, 7}},
	}
	for _, tt := range tests {
		for _, skew := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("%s, skew %s", tt.name, skew), func(t *testing.T) {
				root := l.certificate(t, "root", tt.root, nil)
				between := l.certificate(t, "between", tt.between, root)
				leaf := l.certificate(t, "mail", tt.leaf, between)
				ring := keyring(t, pemOf("CERTIFICATE", root.Raw))
				v := trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: skew, MinRSABits: 1024})
				periods := []period{tt.leaf, tt.between, tt.root}
				if tt.list != nil {
					v = v.WithCRLs([]*trust.CRL{l.list(t, root, *tt.list, ring)}, tt.staleOK)
					periods = append(periods, *tt.list)
				}
				from, until := tt.want.times()
				from = from.Add(-skew)
				if !tt.noSkewAtEnd {
					until = until.Add(skew)
				}
				got, err := v.Verify(leaf, ca.Now(), between)
				if err != nil {
					t.Fatal(err)
				}
				for at, want := range map[time.Time]bool{ca.Now(): true, from: true, until: true, from.Add(-1): false, until.Add(1): false} {
					if got.ValidAt(at) != want {
						t.Errorf("valid at %s: %t, want %t", at, !want, want)
					}
				}
				if checkValidAt(t, v, periods, skew, leaf, between) == 0 {
					t.Error("want times at which the result is valid, found none")
				}
			})
		}
	}
}

// TestValidAtWithTwoPaths uses a second intermediate with the same name and key that is
// revoked and not valid yet. Once it is valid, the search may find the path through it
// first and refuse the certificate. An earlier result must not be valid at that time.
func TestValidAtWithTwoPaths(t *testing.T) {
	l := newCertificateMaker(t)
	wide, late := period{-60, 60}, period{10, 60}
	root := l.certificate(t, "root", wide, nil)
	good, revoked := l.certificate(t, "between", wide, root), l.certificate(t, "between", late, root)
	leaf := l.certificate(t, "mail", wide, good)
	ring := keyring(t, pemOf("CERTIFICATE", root.Raw))
	revocations, err := trust.NewRevocations([]trust.Revocation{{Serial: fmt.Sprintf("%02x", revoked.SerialNumber)}})
	if err != nil {
		t.Fatal(err)
	}
	v := trust.NewVerifier(ring, revocations, trust.Limits{ClockSkew: time.Minute, MinRSABits: 1024})
	for _, intermediates := range [][]*x509.Certificate{{good, revoked}, {revoked, good}} {
		checkValidAt(t, v, []period{wide, late}, time.Minute, append([]*x509.Certificate{leaf}, intermediates...)...)
	}
}

// TestValidAtMeansVerifiable checks ValidAt with random periods, two roots and two
// intermediates of one name, revocation lists of both and a revoked intermediate.
func TestValidAtMeansVerifiable(t *testing.T) {
	t.Parallel()
	l, l2 := newCertificateMaker(t), newCertificateMaker(t)
	periods := rapid.Custom(func(t *rapid.T) period {
		return period{rapid.IntRange(-30, 5).Draw(t, "from"), rapid.IntRange(6, 30).Draw(t, "to")}
	})
	total := 0
	rapid.Check(t, func(t *rapid.T) {
		all := make([]period, 7)
		for i := range all {
			all[i] = periods.Draw(t, "period")
		}
		skew := rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "skew")
		other := l2.certificate(t, "root", all[1], nil)
		root := l.certificate(t, "root", all[0], nil)
		one, two := l.certificate(t, "between", all[2], root), l.certificate(t, "between", all[3], root)
		leaf := l.certificate(t, "mail", all[4], one)
		ring, err := trust.ParseKeyring(slices.Concat(pemOf("CERTIFICATE", root.Raw), pemOf("CERTIFICATE", other.Raw)), 1024)
		if err != nil {
			t.Fatal(err)
		}
		lists := []*trust.CRL{l.list(t, root, all[5], ring)}
		if rapid.Bool().Draw(t, "revoke one") {
			lists = append(lists, l.list(t, root, all[6], ring, two))
		}
		v := trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: skew, MinRSABits: 1024}).WithCRLs(lists, rapid.Bool().Draw(t, "staleOK"))
		total += checkValidAt(t, v, all, skew, leaf, one, two)
	})
	if total == 0 {
		t.Error("want times at which a result is valid, found none")
	}
}
