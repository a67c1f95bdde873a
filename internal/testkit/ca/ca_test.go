package ca_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestChain checks that crypto/x509 verifies a client certificate through an
// intermediate CA at the fixed time.
func TestChain(t *testing.T) {
	root := ca.New(t)
	intermediate := root.Intermediate(t, "Example intermediate")
	client := intermediate.Client(t, ca.Key(t).Public(), ca.Named("social"))
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

// TestCurrent checks that the machine's clock is inside the validity of a current certificate.
func TestCurrent(t *testing.T) {
	root := ca.New(t, ca.Current)
	now := time.Now()
	for _, c := range []*x509.Certificate{root.Certificate, root.Client(t, ca.Key(t).Public(), ca.Current)} {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			t.Errorf("want a certificate that is valid at %v, found it valid from %v to %v", now, c.NotBefore, c.NotAfter)
		}
	}
}
