package main

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/tool/pki"
)

// newCertificate returns a CA and a client certificate that it issued, valid for nine days.
func newCertificate(t *testing.T, now time.Time) (*pki.Authority, *x509.Certificate) {
	t.Helper()
	ca, err := pki.New(pki.Options{Name: "test CA", Algorithm: pki.Ed25519, Lifetime: 10 * day, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.Ed25519.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{Client: "mail", PublicKey: key.Public(), Lifetime: 9 * day, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert
}

// TestInspectClock checks the report at each end of the validity period.
func TestInspectClock(t *testing.T) {
	t.Parallel()
	_, cert := newCertificate(t, time.Now())
	conf, err := loadGatewayConfig(environment{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		now      time.Time
		left     int
		validity string
		fault    string
	}{
		{"first second", cert.NotBefore, 9, "9 days left", ""},
		{"before, within the skew", cert.NotBefore.Add(-time.Second), 9, "not yet", ""},
		{"before", cert.NotBefore.Add(-2 * time.Minute), 9, "not yet", "certificate_not_yet_valid"},
		{"two days before the end", cert.NotAfter.Add(-2 * day), 2, "2 days left", ""},
		{"one day before the end", cert.NotAfter.Add(-day), 1, "1 day left", ""},
		{"last second", cert.NotAfter, 0, "0 days left", ""},
		{"after, within the skew", cert.NotAfter.Add(time.Second), 0, "expired today", ""},
		{"after", cert.NotAfter.Add(2 * time.Minute), 0, "expired today", "certificate_expired"},
		{"long after", cert.NotAfter.Add(3 * day), -3, "expired 3 days ago", "certificate_expired"},
		{"after a thousand years", cert.NotAfter.AddDate(1000, 0, 0), -365242, "expired 365242 days ago", "certificate_expired"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := describe([]*x509.Certificate{cert}, test.now)
			r.check([]*x509.Certificate{cert}, test.now, conf)
			if r.validity != test.validity || r.DaysLeft < test.left-1 || r.DaysLeft > test.left {
				t.Errorf("want %q and %d, found %q and %d", test.validity, test.left, r.validity, r.DaysLeft)
			}
			if found := strings.Join(r.Faults, "\n"); (test.fault == "") != (found == "") || !strings.HasPrefix(found, test.fault) {
				t.Errorf("want the fault %q, found %q", test.fault, found)
			}
		})
	}
}

// TestKeysClock checks that a CA certificate is reported as expired after its last second.
func TestKeysClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, _ := newCertificate(t, time.Now())
	name := dir + "/ca.crt"
	if err := writeNew(newFile{name, ca.CertificatePEM(), public}); err != nil {
		t.Fatal(err)
	}
	k := keysCommand{File: name}
	ring, _, err := k.keyring(environment{stderr: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	end := ring.Anchors()[0].Certificate().NotAfter
	for now, want := range map[time.Time]bool{end: false, end.Add(time.Second): true} {
		if list := keyReports(ring, nil, now); len(list) != 1 || list[0].Expired != want {
			t.Errorf("at %s: want expired %v, found %v", now, want, list)
		}
	}
}
