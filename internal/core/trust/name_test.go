package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"runtime"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
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

// TestNameText checks that a name is written out up to 512 bytes of DER.
func TestNameText(t *testing.T) {
	f := newForge(t)
	for n, want := range map[int]string{1: "OU=abc,O=Example", 400: "a name of "} {
		cert := f.client(f.key.Public(), func(c *x509.Certificate) { c.Subject = units(n) })
		if got := trust.SubjectText(cert); !strings.HasPrefix(got, want) {
			t.Errorf("%d units: want the subject to begin with %q, found %.80q", n, want, got)
		}
		below := f.sign(clientTemplate(), cert, newKey(t).Public())
		if got := trust.IssuerText(below); !strings.HasPrefix(got, want) {
			t.Errorf("%d units: want the issuer to begin with %q, found %.80q", n, want, got)
		}
	}
	longest := 0
	for n := 1; n < 100; n++ {
		cert := f.client(newKey(t).Public(), func(c *x509.Certificate) { c.Subject = units(n) })
		if !strings.HasPrefix(trust.SubjectText(cert), "a name of") {
			longest = len(cert.RawSubject)
		}
	}
	if longest < 480 || longest > 512 {
		t.Errorf("want names of up to 512 bytes to be written out, the longest has %d", longest)
	}
}

// TestRefusalsOfLongNames checks that no refusal writes a long name out: that takes
// memory quadratic in the number of attributes, before or behind the signature.
func TestRefusalsOfLongNames(t *testing.T) {
	const attributes, most = 2000, 1 << 20
	long := func(c *x509.Certificate) { c.Subject = units(attributes) }
	f, stranger := newForge(t, long), newForge(t, long)
	plain := newForge(t)
	key := newKey(t).Public()
	intermediate := func(change func(*x509.Certificate)) chain {
		template := caTemplate("")
		long(template)
		change(template)
		return chain{plain.sign(template, plain.ca, plain.key.Public())}
	}
	weak := intermediate(func(*x509.Certificate) {})
	weak[0].SignatureAlgorithm = x509.SHA1WithRSA
	constrained := intermediate(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	named := func(c *x509.Certificate) { long(c); c.DNSNames = []string{"example.com"} }
	server := intermediate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	below := func(ca *x509.Certificate) *x509.Certificate {
		template := clientTemplate()
		named(template)
		return plain.sign(template, ca, key)
	}
	tests := []struct {
		name   string
		leaf   *x509.Certificate
		with   chain
		anchor []byte
		want   refusal.Reason
	}{
		{"issuer, bare key", stranger.client(key), nil, plain.bare(), refusal.CertificateUntrusted},
		{"issuer, CA", stranger.client(key), nil, f.anchor(), refusal.CertificateUntrusted},
		{"weak intermediate", below(weak[0]), weak, plain.anchor(), refusal.CertificateWeak},
		{"name constraint", below(constrained[0]), constrained, plain.anchor(), refusal.CertificateUntrusted},
		{"purpose", below(server[0]), server, plain.anchor(), refusal.CertificateUnsuitable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := trust.NewVerifier(keyring(t, tt.anchor), nil, trust.Limits{})
			var got trust.Verified
			var err error
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err = v.Verify(tt.leaf, noon(), tt.with...)
			runtime.ReadMemStats(&after)
			check(t, tt.leaf, got, err, tt.want)
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				t.Errorf("want at most %d bytes allocated, found %d", most, n)
			}
		})
	}
}

// TestFailedSignaturesAreBounded checks that forged certificates that each anchor
// could have signed cost 16 signatures at most, and that a genuine chain passes with
// as many anchors of one name and with the root sent along.
func TestFailedSignaturesAreBounded(t *testing.T) {
	var anchors [][]byte
	var last forge
	for range trust.MaxAnchors {
		last = newForge(t)
		anchors = append(anchors, last.anchor())
	}
	verifier := trust.NewVerifier(keyring(t, anchors...), nil, trust.Limits{})
	leaf, intermediates := strangers(t, newKey(t))
	v, err := verifier.Verify(leaf, noon(), intermediates...)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
	if d := refusal.Of(err); d == nil || !strings.Contains(d.Detail, "ended after 16 signatures") {
		t.Errorf("want the search to end after 16 signatures, found %v", err)
	}
	one := last.sign(caTemplate("one"), last.ca, last.key.Public())
	sub := last.sign(caTemplate("sub"), one, last.key.Public())
	genuine := last.sign(clientTemplate(), sub, newKey(t).Public())
	v, err = verifier.Verify(genuine, noon(), sub, one, last.ca)
	check(t, genuine, v, err, "")
}
