package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"runtime"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// units returns the distinguished name of an organization and n organizational
// units of three letters.
func units(n int) pkix.Name {
	name := pkix.Name{Organization: []string{"Example"}}
	for range n {
		name.OrganizationalUnit = append(name.OrganizationalUnit, "abc")
	}
	return name
}

// TestNameText checks that names of up to 512 bytes of DER are formatted.
func TestNameText(t *testing.T) {
	f := ca.New(t)
	for n, want := range map[int]string{1: "OU=abc,O=Example", 400: "a name of "} {
		cert := f.Client(t, f.Key.Public(), func(c *x509.Certificate) { c.Subject = units(n) })
		if got := trust.SubjectText(cert); !strings.HasPrefix(got, want) {
			t.Errorf("%d units: want the subject to begin with %q, found %.80q", n, want, got)
		}
		below := ca.Sign(t, ca.ClientTemplate(), cert, ca.Key(t).Public(), f.Key)
		if got := trust.IssuerText(below); !strings.HasPrefix(got, want) {
			t.Errorf("%d units: want the issuer to begin with %q, found %.80q", n, want, got)
		}
	}
	longest := 0
	for n := 1; n < 100; n++ {
		cert := f.Client(t, ca.Key(t).Public(), func(c *x509.Certificate) { c.Subject = units(n) })
		if !strings.HasPrefix(trust.SubjectText(cert), "a name of") {
			longest = len(cert.RawSubject)
		}
	}
	if longest < 480 || longest > 512 {
		t.Errorf("want names of up to 512 bytes formatted, the longest has %d", longest)
	}
}

// TestRefusalsOfLongNames checks that no refusal formats a long name, which takes memory
// quadratic in the number of attributes, whether or not the signature is valid.
func TestRefusalsOfLongNames(t *testing.T) {
	const attributes, maxBytes = 2000, 1 << 20
	long := func(c *x509.Certificate) { c.Subject = units(attributes) }
	f, otherCA := ca.New(t, long), ca.New(t, long)
	plain := ca.New(t)
	key := ca.Key(t).Public()
	intermediate := func(change func(*x509.Certificate)) chain {
		template := ca.Template("")
		long(template)
		change(template)
		return chain{ca.Sign(t, template, plain.Certificate, plain.Key.Public(), plain.Key)}
	}
	weak := intermediate(func(*x509.Certificate) {})
	weak[0].SignatureAlgorithm = x509.SHA1WithRSA
	constrained := intermediate(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	named := func(c *x509.Certificate) { long(c); c.DNSNames = []string{"example.com"} }
	server := intermediate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	below := func(issuer *x509.Certificate) *x509.Certificate {
		template := ca.ClientTemplate()
		named(template)
		return ca.Sign(t, template, issuer, key, plain.Key)
	}
	tests := []struct {
		name   string
		leaf   *x509.Certificate
		with   chain
		anchor []byte
		want   refusal.Reason
	}{
		{"issuer, bare key", otherCA.Client(t, key), nil, plain.PublicKeyPEM(), refusal.CertificateUntrusted},
		{"issuer, CA", otherCA.Client(t, key), nil, f.CertificatePEM(), refusal.CertificateUntrusted},
		{"weak intermediate", below(weak[0]), weak, plain.CertificatePEM(), refusal.CertificateWeak},
		{"name constraint", below(constrained[0]), constrained, plain.CertificatePEM(), refusal.CertificateUntrusted},
		{"purpose", below(server[0]), server, plain.CertificatePEM(), refusal.CertificateUnsuitable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := trust.NewVerifier(keyring(t, tt.anchor), nil, trust.Limits{})
			var got trust.Verified
			var err error
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err = v.Verify(tt.leaf, ca.Now(), tt.with...)
			runtime.ReadMemStats(&after)
			check(t, tt.leaf, got, err, tt.want)
			if n := after.TotalAlloc - before.TotalAlloc; n > maxBytes {
				t.Errorf("want at most %d bytes allocated, found %d", maxBytes, n)
			}
		})
	}
}

// TestFailedSignaturesAreBounded checks that forged certificates that each anchor could
// have signed cost one signature check more than there are anchors, and that a genuine chain
// is accepted with as many anchors of one name and with the root in the chain.
func TestFailedSignaturesAreBounded(t *testing.T) {
	var anchors [][]byte
	var last ca.CA
	for range trust.MaxAnchors {
		last = ca.New(t)
		anchors = append(anchors, last.CertificatePEM())
	}
	verifier := trust.NewVerifier(keyring(t, anchors...), nil, trust.Limits{})
	leaf, intermediates := forgedCertificates(t, ca.Key(t))
	v, err := verifier.Verify(leaf, ca.Now(), intermediates...)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
	if d := refusal.Of(err); d == nil || !strings.Contains(d.Detail, "ended after 9 failed signatures") {
		t.Errorf("want the search to end after 9 signatures, found %v", err)
	}
	keyOne, keySub := ca.New(t).Key, ca.New(t).Key // the identifiers in the chain name no anchor
	one := ca.Sign(t, ca.Template("one"), last.Certificate, keyOne.Public(), last.Key)
	sub := ca.Sign(t, ca.Template("sub"), one, keySub.Public(), keyOne)
	genuine := ca.Sign(t, ca.ClientTemplate(), sub, ca.Key(t).Public(), keySub)
	v, err = verifier.Verify(genuine, ca.Now(), sub, one, last.Certificate)
	check(t, genuine, v, err, "")
}
