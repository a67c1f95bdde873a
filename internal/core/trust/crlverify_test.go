package trust_test

import (
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestCRL checks one list of the anchor with different certificates, times and settings.
func TestCRL(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	key, ca := o.newCA("ca", "rsa:2048")
	o.key("mail", "ec:P-256")
	good := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x0a"})
	bad := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x4f3a09"})
	text := o.crl(crl{ca: "ca", revoked: []string{"4F3A09"}})
	const revoked, unknown = refusal.CertificateRevoked, refusal.RevocationUnknown
	for name, anchor := range map[string][]byte{"CA": ca, "bare key": key} {
		ring := keyring(t, anchor)
		list := lists(t, ring, text)
		begin, end := list[0].ThisUpdate(), list[0].NextUpdate()
		// With the skew, the certificates are valid before the list is.
		limits := trust.Limits{ClockSkew: time.Minute}
		tests := []struct {
			name      string
			now       time.Time
			stale     bool
			good, bad refusal.Reason
		}{
			{"current", end.Add(-time.Hour), false, "", revoked},
			{"last second", end, false, "", revoked},
			{"one second late", end.Add(time.Second), false, unknown, revoked},
			{"one nanosecond late", end.Add(1), false, unknown, revoked},
			{"one second late, allowed", end.Add(time.Second), true, "", revoked},
			{"months late, allowed", end.AddDate(0, 6, 0), true, "", revoked},
			{"first second", begin, false, "", revoked},
			{"early, within the skew", begin.Add(-30 * time.Second), false, "", revoked},
		}
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				verifier := trust.NewVerifier(ring, nil, limits).WithCRLs(list, tt.stale)
				v, err := verifier.Verify(good, tt.now)
				check(t, good, v, err, tt.good)
				v, err = verifier.Verify(bad, tt.now)
				check(t, bad, v, err, tt.bad)
			})
		}
	}
}

// TestCRLOfTheFuture checks that a list that is not valid yet refuses the certificates of
// its anchor.
func TestCRLOfTheFuture(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	good := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x0a"})
	bad := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x4f3a09"})
	begin := midValidity(good).UTC().Truncate(time.Second)
	const asn1Time = "20060102150405Z"
	ring := keyring(t, ca)
	list := lists(t, ring, o.crl(crl{ca: "ca", revoked: []string{"4F3A09"}, this: begin.Format(asn1Time), next: begin.Add(time.Hour).Format(asn1Time)}))
	tests := []struct {
		name  string
		now   time.Time
		skew  time.Duration
		stale bool
		good  refusal.Reason
	}{
		{"first second", begin, 0, false, ""},
		{"one second early", begin.Add(-time.Second), 0, false, refusal.RevocationUnknown},
		{"the whole skew early", begin.Add(-time.Minute), time.Minute, false, ""},
		{"one second more", begin.Add(-61 * time.Second), time.Minute, false, refusal.RevocationUnknown},
		{"one second early, allowed", begin.Add(-time.Second), 0, true, ""},
		{"late, within the skew", begin.Add(time.Hour + time.Second), time.Minute, false, refusal.RevocationUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verifier := trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: tt.skew}).WithCRLs(list, tt.stale)
			v, err := verifier.Verify(good, tt.now)
			check(t, good, v, err, tt.good)
			v, err = verifier.Verify(bad, tt.now)
			check(t, bad, v, err, refusal.CertificateRevoked)
		})
	}
}

// TestCRLOfOneAnchor checks that a list applies to certificates of its own anchor only.
// Another anchor may use the same serial numbers.
func TestCRLOfOneAnchor(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, a := o.newCA("a", "ec:P-256")
	b, _ := o.newCA("b", "ec:P-256") // with the same name
	o.key("mail", "ec:P-256")
	ofA := o.client(clientOptions{ca: "a", key: "mail", serial: "0x05"})
	ofB := o.client(clientOptions{ca: "b", key: "mail", serial: "0x05"})
	ring := keyring(t, a, b)
	list := lists(t, ring, o.crl(crl{ca: "a", revoked: []string{"05"}}))
	for _, now := range []time.Time{list[0].NextUpdate(), list[0].NextUpdate().Add(time.Second)} {
		verifier := trust.NewVerifier(ring, nil, trust.Limits{}).WithCRLs(list, false)
		v, err := verifier.Verify(ofA, now)
		check(t, ofA, v, err, refusal.CertificateRevoked)
		v, err = verifier.Verify(ofB, now)
		check(t, ofB, v, err, "")
	}
}

// TestSeveralCRLs checks several lists of one anchor: a certificate is revoked if any of
// them contains it, in any order, and each list must be current.
func TestSeveralCRLs(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x05"})
	now := midValidity(leaf)
	ring := keyring(t, ca)
	current := func(revoked ...string) []byte {
		return o.crl(crl{ca: "ca", revoked: revoked, next: leaf.NotAfter.Format("20060102150405Z")})
	}
	stale := lists(t, ring, o.crl(crl{ca: "ca"}))
	clean := lists(t, ring, current())
	full := lists(t, ring, current("05"))
	tests := []struct {
		name  string
		lists []*trust.CRL
		stale bool
		want  refusal.Reason
	}{
		{"none", nil, false, ""},
		{"clean", clean, false, ""},
		{"clean and full", slices.Concat(clean, full), false, refusal.CertificateRevoked},
		{"full and clean", slices.Concat(full, clean), false, refusal.CertificateRevoked},
		{"stale and full", slices.Concat(stale, full), false, refusal.CertificateRevoked},
		{"stale and clean", slices.Concat(stale, clean), false, refusal.RevocationUnknown},
		{"clean and stale", slices.Concat(clean, stale), false, refusal.RevocationUnknown},
		{"clean and stale, allowed", slices.Concat(clean, stale), true, ""},
		{"stale and full, allowed", slices.Concat(stale, full), true, refusal.CertificateRevoked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := trust.NewVerifier(ring, nil, trust.Limits{}).WithCRLs(tt.lists, tt.stale).Verify(leaf, now)
			check(t, leaf, v, err, tt.want)
		})
	}
	t.Run("the caller's slice", func(t *testing.T) {
		changed := slices.Clone(full)
		verifier := trust.NewVerifier(ring, nil, trust.Limits{}).WithCRLs(changed, false)
		changed[0] = clean[0]
		v, err := verifier.Verify(leaf, now)
		check(t, leaf, v, err, refusal.CertificateRevoked)
	})
	t.Run("nil verifier", func(t *testing.T) {
		var none *trust.Verifier
		v, err := none.WithCRLs(clean, true).Verify(leaf, now)
		check(t, leaf, v, err, refusal.CertificateUntrusted)
	})
}

// TestCRLInAChain checks that the anchor's list applies to an intermediate, and not to the
// certificates that the intermediate signed. If the intermediate is an anchor too, its own
// list applies to them, whichever of the two anchors the path starts at.
func TestCRLInAChain(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca"}) // serial 11
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "one", key: "mail", serial: "0x05"})
	root, both := keyring(t, ca), keyring(t, ca, o.read("one.crt"))
	tests := []struct {
		name string
		ring *trust.Keyring
		list crl
		want refusal.Reason
	}{
		{"the intermediate", root, crl{ca: "ca", revoked: []string{"11"}}, refusal.CertificateRevoked},
		{"the client's serial number", root, crl{ca: "ca", revoked: []string{"05"}}, ""},
		{"the client's, by the intermediate", both, crl{ca: "one", revoked: []string{"05"}}, refusal.CertificateRevoked},
		{"the intermediate's serial number, by the intermediate", both, crl{ca: "one", revoked: []string{"11"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.list.next = leaf.NotAfter.Format("20060102150405Z")
			verifier := trust.NewVerifier(tt.ring, nil, trust.Limits{}).WithCRLs(lists(t, tt.ring, o.crl(tt.list)), false)
			v, err := verifier.Verify(leaf, midValidity(leaf), one)
			check(t, leaf, v, err, tt.want)
		})
	}
}
