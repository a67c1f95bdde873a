package httpsig_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestCoveredFieldsReachService asserts that a field outside the signature can neither
// remove a covered field from the forwarded request nor add a field whose name folds to
// the same name.
func TestCoveredFieldsReachService(t *testing.T) {
	tests := []struct {
		name, field, value string
		want               refusal.Reason
	}{
		{"an unrelated field", "X-Another", "1", ""},
		{"connection options", "Connection", "keep-alive, close", ""},
		{"another field listed", "Connection", "x-another", ""},
		{"nothing listed", "Connection", ", ,", ""},
		{"a covered field listed", "Connection", "x-other", malformed},
		{"listed in uppercase with other options", "Connection", "close,\tX-OTHER ", malformed},
		{"the digest listed", "Connection", "content-digest", malformed},
		{"the certificate listed", "Connection", "x-ssl-auth", malformed},
		{"a derived component listed", "Connection", "@method", ""},
		{"an underscore variant", "X_other", "2", malformed},
		{"a dot variant, folded by lighttpd", "X.other", "2", malformed},
		{"an underscore variant of the digest", "Content_digest", "sha-256=:AA==:", malformed},
		{"an underscore variant of the certificate", "X_ssl_auth", "2", malformed},
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

// TestErrorsOmitSignature asserts that the error for a malformed signature does not quote
// it.
func TestErrorsOmitSignature(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	signature := m.Header.Get("Signature")
	for name, lines := range map[string][]string{
		"twice":            {"sig1=:AAAA:", signature},
		"wrong padding":    {strings.TrimRight(signature, "=:") + ":"},
		"no bytes":         {strings.ReplaceAll(signature, ":", `"`)},
		"with a parameter": {signature + ";a"},
	} {
		v, _ := newVerifier()
		m.Header["Signature"] = lines
		_, err := prove(v, m, p.client, now)
		wantReason(t, err, malformed)
		if text := err.Error(); strings.Contains(text, signature[8:24]) {
			t.Errorf("%s: want nothing of the signature in the error, found a part of it in %d bytes", name, len(text))
		}
	}
}
