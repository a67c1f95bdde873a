package httpsig_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestCoveredFieldsPass: what is not covered can neither take a covered field away
// from the service nor stand beside it under a name that is the same to some.
func TestCoveredFieldsPass(t *testing.T) {
	tests := []struct {
		name, field, value string
		want               refusal.Reason
	}{
		{"nothing of it", "X-Another", "1", ""},
		{"the connection's own options", "Connection", "keep-alive, close", ""},
		{"another field listed", "Connection", "x-another", ""},
		{"nothing listed", "Connection", ", ,", ""},
		{"a covered field listed", "Connection", "x-other", malformed},
		{"in capitals, among others", "Connection", "close,\tX-OTHER ", malformed},
		{"the digest listed", "Connection", "content-digest", malformed},
		{"the certificate listed", "Connection", "x-ssl-auth", malformed},
		{"a derived component listed", "Connection", "@method", ""},
		{"a twin", "X_other", "2", malformed},
		{"a twin as lighttpd reads it", "X.other", "2", malformed},
		{"the digest's twin", "Content_digest", "sha-256=:AA==:", malformed},
		{"the certificate's twin", "X_ssl_auth", "2", malformed},
		{"a longer name", "X_other_", "2", ""},
	}
	p := newParty(t)
	good := p.sign(t, post(p), terms())
	good.Header["X-Other"] = []string{"1"}
	good = p.resign(t, good, strings.Replace(good.Header.Get("Signature-Input"), `("@method"`, `("x-other" "@method"`, 1))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := newVerifier()
			m := good
			m.Header = good.Header.Clone()
			m.Header[tt.field] = []string{tt.value}
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
		})
	}
	v, _ := newVerifier()
	good.Header["Connection"] = []string{"close", "x-other"}
	_, err := prove(v, good, p.client, now)
	wantReason(t, err, malformed)
}

// TestSignaturesStayUnsaid: what is wrong with a signature is said without it.
func TestSignaturesStayUnsaid(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	signature := m.Header.Get("Signature")
	for name, lines := range map[string][]string{
		"twice":            {"sig1=:AAAA:", signature},
		"not its form":     {strings.TrimRight(signature, "=:") + ":"},
		"no bytes":         {strings.ReplaceAll(signature, ":", `"`)},
		"with a parameter": {signature + ";a"},
	} {
		v, _ := newVerifier()
		m.Header["Signature"] = lines
		_, err := prove(v, m, p.client, now)
		wantReason(t, err, malformed)
		if said := err.Error(); strings.Contains(said, signature[8:24]) {
			t.Errorf("%s: want nothing of the signature in the error, found %d bytes with some", name, len(said))
		}
	}
}
