package assertion_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestAssertionIsCached checks for how long an assertion is sent. ES256 signatures contain a
// random number, so two equal assertions come from one signature.
func TestAssertionIsCached(t *testing.T) {
	issued := ca.Now()
	tests := []struct {
		name  string
		bind  bool
		first time.Time
		later time.Duration
		same  bool
	}{
		{"at once", false, issued, 0, true},
		{"until 10 seconds before the end", false, issued, 50*time.Second - 1, true},
		{"10 seconds before the end", false, issued, 50 * time.Second, false},
		{"the end counts from the whole second of iat", false, issued.Add(900 * time.Millisecond), 49*time.Second + 100*time.Millisecond, false},
		{"in the second of iat", false, issued.Add(900 * time.Millisecond), -500 * time.Millisecond, true},
		{"the clock was set back", false, issued, -1, false},
		{"bound", true, issued, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := clock{tt.first}
			s := newSigner(t, c.set, func(o *assertion.Options) { o.Bind, o.Keys = tt.bind, parse(t, keyPEM(t, jose.ES256)) })
			g := grant(t, mail(t), "all", "GET", "/events")
			first := assert(t, s, g, "bearer", assertion.Content{})
			c.now = c.now.Add(tt.later)
			second := assert(t, s, g, "bearer", assertion.Content{})
			if (first == second) != tt.same {
				t.Errorf("the same assertion: %t, want %t", first == second, tt.same)
			}
			if _, claims := verified(t, second, s.KeySet()); !tt.same && claims["iat"] != float64(c.now.Unix()) {
				t.Errorf("iat %v, want %d", claims["iat"], c.now.Unix())
			}
		})
	}
}

// TestCacheKey checks that an assertion is sent again for equal claims only.
func TestCacheKey(t *testing.T) {
	issuer, key := ca.New(t), ca.Key(t)
	cert := issuer.Client(t, key.Public())
	first := client(t, issuer, cert)
	other := func(t *testing.T, changes ...ca.Change) access.Grant {
		t.Helper()
		return grant(t, client(t, issuer, issuer.Client(t, key.Public(), changes...)), "all", "GET", "/events")
	}
	tests := []struct {
		name  string
		grant access.Grant
		auth  string
		same  bool
	}{
		{"another request of the rule", grant(t, first, "all", "POST", "/other"), "bearer", true},
		{"the certificate, verified again", grant(t, client(t, issuer, cert), "all", "GET", "/events"), "bearer", true},
		{"another rule", grant(t, first, "some", "GET", "/events"), "bearer", false},
		{"another level", grant(t, first, "all", "GET", "/events"), "signed", false},
		{"another certificate of the client", other(t), "bearer", false},
		{"another client", other(t, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"social"} }), "bearer", false},
		{"another encoding of the certificate", grant(t, client(t, issuer, respelled(t, cert)), "all", "GET", "/events"), "bearer", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSigner(t, func(o *assertion.Options) { o.Keys = parse(t, keyPEM(t, jose.ES256)) })
			token := assert(t, s, grant(t, first, "all", "GET", "/events"), "bearer", assertion.Content{})
			again := assert(t, s, tt.grant, tt.auth, assertion.Content{})
			if (token == again) != tt.same {
				t.Errorf("the same assertion: %t, want %t", token == again, tt.same)
			}
		})
	}
}

// respelled returns a certificate with the other valid form of its ECDSA signature.
func respelled(t *testing.T, cert *x509.Certificate) *x509.Certificate {
	t.Helper()
	var outer struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(outer.Signature.Bytes, &signature); err != nil {
		t.Fatal(err)
	}
	signature.S.Sub(elliptic.P256().Params().N, signature.S)
	value, err := asn1.Marshal(signature)
	if err != nil {
		t.Fatal(err)
	}
	outer.Signature = asn1.BitString{Bytes: value, BitLength: 8 * len(value)}
	der, err := asn1.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	again, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestCacheIsBounded checks that a cache that is full still makes correct assertions.
func TestCacheIsBounded(t *testing.T) {
	s := newSigner(t)
	assertion.LimitCache(s, 4<<10)
	issuer := ca.New(t)
	for range 50 {
		c := client(t, issuer, issuer.Client(t, ca.Key(t).Public()))
		g := grant(t, c, "all", "GET", "/events")
		for range 2 {
			verified(t, assert(t, s, g, "bearer", assertion.Content{}), s.KeySet())
		}
	}
	if n := assertion.CacheLen(s); n > 4 {
		t.Errorf("%d entries, want at most 4 of about 1 KiB", n)
	}
}

// BenchmarkAssert measures an assertion that is off, cached, signed for the next minute, and
// bound to one request with a body of 1 KiB.
func BenchmarkAssert(b *testing.B) {
	g := grant(b, mail(b), "apps-add-events", "POST", "/events?from=2013-08-01&to=2013-08-02")
	content := assertion.Content{Bytes: make([]byte, 1<<10), Complete: true}
	b.Run("off", func(b *testing.B) {
		measure(b, func() (string, error) { return (*assertion.Signer)(nil).Assert(g, "bearer", content) })
	})
	for _, algorithm := range []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256} {
		keys := parse(b, keyPEM(b, algorithm))
		cached := newSigner(b, func(o *assertion.Options) { o.Keys, o.Now = keys, time.Now })
		binding := newSigner(b, bound, func(o *assertion.Options) { o.Keys, o.Now = keys, time.Now })
		b.Run(string(algorithm)+"/cached", func(b *testing.B) {
			measure(b, func() (string, error) { return cached.Assert(g, "bearer", content) })
		})
		b.Run(string(algorithm)+"/bound", func(b *testing.B) {
			measure(b, func() (string, error) { return binding.Assert(g, "bearer", content) })
		})
	}
}

func measure(b *testing.B, assert func() (string, error)) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := assert(); err != nil {
			b.Fatal(err)
		}
	}
}
