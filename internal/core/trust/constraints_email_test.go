package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestSubjectEmailConstraints checks that constraints on email addresses apply to the
// subject's emailAddress if there are no subject alternative names, and that such a
// subject passes directoryName constraints.
func TestSubjectEmailConstraints(t *testing.T) {
	permitted := func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.org"} }
	excluded := func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"example.org"} }
	dns := func(c *x509.Certificate) { c.DNSNames = []string{"a"} }
	none := func(*x509.Certificate) {}
	const no = refusal.CertificateUntrusted
	tests := []struct {
		name    string
		limit   func(*x509.Certificate)
		address string
		more    func(*x509.Certificate)
		want    refusal.Reason
	}{
		{"permitted, inside", permitted, "a@example.org", none, ""},
		{"permitted, outside", permitted, "a@example.com", none, no},
		{"permitted, not an address", permitted, "a", none, no},
		{"permitted, no emailAddress", permitted, "", none, ""},
		{"permitted, outside, with alternative names", permitted, "a@example.com", dns, ""},
		{"excluded, outside", excluded, "a@example.com", none, ""},
		{"excluded, inside", excluded, "a@example.org", none, no},
		{"no constraint", none, "a@example.org", none, ""},
		{"directoryName", directories(t, true, []string{"/O=Example"}, nil), "a@example.org", none, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := ca.New(t, subject(t, "/CN=root"), tt.limit)
			leaf := f.Client(t, ca.Key(t).Public(), tt.more, func(c *x509.Certificate) {
				c.Subject.OrganizationalUnit, c.Subject.CommonName = nil, ""
				if tt.address != "" {
					oid := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
					c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oid, Value: tt.address}}
				}
			})
			v, err := verifyAt(t, leaf, nil, f.CertificatePEM())
			check(t, leaf, v, err, tt.want)
		})
	}
}
