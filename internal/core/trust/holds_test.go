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
)

func TestZeroNeverHolds(t *testing.T) {
	for _, at := range []time.Time{{}, time.Now(), time.Unix(0, 0)} {
		if (trust.Verified{}).Holds(at) {
			t.Errorf("a zero Verified holds at %s", at)
		}
	}
}

// timeline makes certificates of chosen periods, all by one key: an RSA key of 1024
// bits, which verifies the thousands of signatures of these tests fastest.
type timeline struct {
	key    *rsa.PrivateKey
	serial int64
}

// noon is the middle of every timeline.
func noon() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// span is a period in minutes around noon.
type span struct{ from, to int }

func (s span) times() (from, to time.Time) {
	return noon().Add(time.Duration(s.from) * time.Minute), noon().Add(time.Duration(s.to) * time.Minute)
}

func newTimeline(t *testing.T) *timeline {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return &timeline{key: key}
}

// certificate is signed by issuer, or by itself where that is nil. Only the
// client "mail" is no CA.
func (l *timeline) certificate(t rapid.TB, name string, s span, issuer *x509.Certificate) *x509.Certificate {
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

func (l *timeline) list(t rapid.TB, ca *x509.Certificate, s span, ring *trust.Keyring, revoked ...*x509.Certificate) *trust.CRL {
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

// held asks at every edge, and just before and after, whether whatever holds
// would be verified again; it counts what holds.
func held(t rapid.TB, v *trust.Verifier, spans []span, skew time.Duration, chain ...*x509.Certificate) (holding int) {
	t.Helper()
	type answer struct {
		verified trust.Verified
		err      error
	}
	answers := map[time.Time]answer{}
	for _, s := range spans {
		from, to := s.times()
		for _, edge := range []time.Time{from, to, from.Add(-skew), to.Add(skew)} {
			for _, at := range []time.Time{edge.Add(-1), edge, edge.Add(1)} {
				if _, asked := answers[at]; !asked {
					verified, err := v.Verify(chain[0], at, chain[1:]...)
					answers[at] = answer{verified, err}
				}
			}
		}
	}
	for from, before := range answers {
		if before.err == nil && !before.verified.Holds(from) {
			t.Fatalf("verified at %s and does not hold then", from)
		}
		for at, then := range answers {
			if !before.verified.Holds(at) {
				continue
			}
			holding++
			if then.err != nil || then.verified.KeyID() != before.verified.KeyID() {
				t.Fatalf("verified at %s, holds at %s, but verifying then: key %s, %v", from, at, then.verified.KeyID().Short(), then.err)
			}
		}
	}
	return holding
}

// TestHolds: each thing that has a period ends what holds, alone.
func TestHolds(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	wide, narrow := span{-60, 60}, span{-10, 10}
	tests := []struct {
		name                string
		leaf, between, root span
		list                *span
		staleOK             bool
		want                span // without the skew
		skewless            bool // at its end
	}{
		{name: "leaf", leaf: narrow, between: wide, root: wide, want: narrow},
		{name: "intermediate", leaf: wide, between: narrow, root: wide, want: narrow},
		{name: "root", leaf: wide, between: wide, root: narrow, want: narrow},
		{name: "list", leaf: wide, between: wide, root: wide, list: &narrow, want: narrow, skewless: true},
		{name: "list that may go stale", leaf: wide, between: wide, root: wide, list: &narrow, staleOK: true, want: wide},
		{name: "one begins, another ends", leaf: span{-5, 60}, between: span{-60, 7}, root: wide, want: span{-5, 7}},
	}
	for _, tt := range tests {
		for _, skew := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("%s, skew %s", tt.name, skew), func(t *testing.T) {
				root := l.certificate(t, "root", tt.root, nil)
				between := l.certificate(t, "between", tt.between, root)
				leaf := l.certificate(t, "mail", tt.leaf, between)
				ring := keyring(t, pemOf("CERTIFICATE", root.Raw))
				v := trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: skew, MinRSABits: 1024})
				spans := []span{tt.leaf, tt.between, tt.root}
				if tt.list != nil {
					v = v.WithCRLs([]*trust.CRL{l.list(t, root, *tt.list, ring)}, tt.staleOK)
					spans = append(spans, *tt.list)
				}
				from, until := tt.want.times()
				from = from.Add(-skew)
				if !tt.skewless {
					until = until.Add(skew)
				}
				got, err := v.Verify(leaf, noon(), between)
				if err != nil {
					t.Fatal(err)
				}
				for at, want := range map[time.Time]bool{noon(): true, from: true, until: true, from.Add(-1): false, until.Add(1): false} {
					if got.Holds(at) != want {
						t.Errorf("holds at %s: %t, want %t", at, !want, want)
					}
				}
				if held(t, v, spans, skew, leaf, between) == 0 {
					t.Error("nothing holds: are the times right?")
				}
			})
		}
	}
}

// TestHoldsWhereAnotherPathComesFirst: a second intermediate of the same name and
// key is revoked and not in time yet. When it is, the path through it may come
// first and be refused; what was verified before must not hold until then.
func TestHoldsWhereAnotherPathComesFirst(t *testing.T) {
	l := newTimeline(t)
	wide, late := span{-60, 60}, span{10, 60}
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
		held(t, v, []span{wide, late}, time.Minute, append([]*x509.Certificate{leaf}, intermediates...)...)
	}
}

// TestHoldsMeansVerifiable: whatever the periods, two roots and two intermediates
// of one name, lists of both and a revoked intermediate.
func TestHoldsMeansVerifiable(t *testing.T) {
	t.Parallel()
	l, l2 := newTimeline(t), newTimeline(t)
	spans := rapid.Custom(func(t *rapid.T) span {
		return span{rapid.IntRange(-30, 5).Draw(t, "from"), rapid.IntRange(6, 30).Draw(t, "to")}
	})
	total := 0
	rapid.Check(t, func(t *rapid.T) {
		all := make([]span, 7)
		for i := range all {
			all[i] = spans.Draw(t, "span")
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
		total += held(t, v, all, skew, leaf, one, two)
	})
	if total == 0 {
		t.Error("nothing ever holds: are the times right?")
	}
}
