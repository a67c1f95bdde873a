package ca_test

import (
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestChain checks that crypto/x509 verifies a client certificate through an
// intermediate CA at the fixed time.
func TestChain(t *testing.T) {
	root := ca.New(t)
	intermediate := root.Intermediate(t, "Example intermediate")
	client := intermediate.Client(t, ca.Key(t).Public(), func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"social"} })
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: ca.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if !options.Roots.AppendCertsFromPEM(root.CertificatePEM()) {
		t.Fatal("want the root's certificate in PEM")
	}
	if _, err := client.Verify(options); err == nil {
		t.Error("want an error without the intermediate, found none")
	}
	options.Intermediates.AddCert(intermediate.Certificate)
	if _, err := client.Verify(options); err != nil {
		t.Errorf("want a verified chain, found %v", err)
	}
	if ou := client.Subject.OrganizationalUnit; len(ou) != 1 || ou[0] != "social" {
		t.Errorf("want the changed unit, found %q", ou)
	}
}
