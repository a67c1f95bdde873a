package httpsig_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
)

// BenchmarkRead measures the cost of a signed request before its certificate is
// examined, for a valid signature and for the most expensive invalid ones.
func BenchmarkRead(b *testing.B) {
	p := newParty(b)
	good := p.sign(b, post(p), terms())
	worst := func(fields http.Header) httpsig.Message { return with(good, fields) }
	messages := []struct {
		name string
		m    httpsig.Message
	}{
		{"good", good},
		{"unsigned", post(p)},
		{"members", worst(http.Header{"Signature-Input": {"a" + strings.Repeat(",a", 255)}})},
		{"components", worst(http.Header{"Signature-Input": {"a=(" + strings.Repeat("1 ", 255) + ")"}})},
		{"parameters", worst(http.Header{"Signature-Input": {"a=()" + strings.Join(numbered(";a%d", 255), "")}})},
		{"long string", worst(http.Header{"Signature-Input": {`a="` + strings.Repeat("a", 8000) + `"`}})},
		{"token", worst(http.Header{"Signature-Input": {"a=" + strings.Repeat("a", 8000)}})},
		{"display string", worst(http.Header{"Signature-Input": {`a=%"` + strings.Repeat("%c3%bc", 1300) + `"`}})},
		{"many signatures", worst(http.Header{"Signature": {good.Header.Get("Signature") + labels(128)}})},
		{"query parameters", p.resign(b, good, strings.Replace(good.Header.Get("Signature-Input"), `"content-type"`, `"content-type"`+params(57), 1))},
	}
	for _, tt := range messages {
		b.Run(tt.name, func(b *testing.B) {
			v, _ := newVerifier()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Read(tt.m, now)
			}
		})
	}
}

// BenchmarkCheck measures the verification of one signature.
func BenchmarkCheck(b *testing.B) {
	each(b, func(b *testing.B, v *httpsig.Verifier, p testClient, m httpsig.Message, _ httpsig.Terms) {
		b.Helper()
		s, err := v.Read(m, now)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := v.Check(s, m, p.client); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSign measures the cost of signing one request.
func BenchmarkSign(b *testing.B) {
	each(b, func(b *testing.B, _ *httpsig.Verifier, p testClient, m httpsig.Message, t httpsig.Terms) {
		b.Helper()
		s, err := httpsig.NewSigner(p.cert, p.key, "X-SSL-Auth")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := s.Sign(m, t); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// each runs a benchmark for each algorithm.
func each(b *testing.B, run func(*testing.B, *httpsig.Verifier, testClient, httpsig.Message, httpsig.Terms)) {
	b.Helper()
	i := newIssuer(b)
	for _, k := range kinds() {
		b.Run(k.name, func(b *testing.B) {
			p := i.issue(k.key(b))
			v, _ := newVerifier()
			v.LegacyRSA = k.legacy
			t := terms()
			t.LegacyRSA = k.legacy
			m := p.sign(b, post(p), t)
			b.ReportAllocs()
			run(b, v, p, m, t)
		})
	}
}
