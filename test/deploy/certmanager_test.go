package deploy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"sigs.k8s.io/yaml"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/test/harness"
)

// certManagerSpecs has the fields of a Certificate for each AUTH_IDENTITY, as in the table of
// keys/README.md, and the client's name. cert-manager refuses a Certificate without a common
// name and subject alternative names.
var certManagerSpecs = map[string]struct{ fields, client string }{
	"ou":    {"subject: {organizationalUnits: [mail]}\n  commonName: mail", "mail"},
	"cn":    {"commonName: mail", "mail"},
	"uri":   {"uris: [\"spiffe://example.org/mail\"]", "spiffe://example.org/mail"},
	"dns":   {"dnsNames: [mail.example.org]", "mail.example.org"},
	"email": {"emailAddresses: [mail@example.org]", "mail@example.org"},
}

// issueWithCertManager returns the certificate that cert-manager's CA issuer makes for a
// Certificate with the fields.
func issueWithCertManager(t *testing.T, root ca.CA, fields string) harness.Certificate {
	t.Helper()
	manifest := `apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: mail}
spec:
  secretName: mail
  issuerRef: {name: clients}
  duration: 720h
  usages: [client auth, digital signature]
  ` + fields + "\n"
	var wanted certmanager.Certificate
	if err := yaml.UnmarshalStrict([]byte(manifest), &wanted); err != nil {
		t.Fatal(err)
	}
	template, err := pki.CertificateTemplateFromCertificate(&wanted)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := pki.SignCertificate(template, root.Certificate, key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	return harness.NewCertificate(t, text)
}

// TestCertManager issues a certificate for each source of names with cert-manager's own
// packages, and sends it to gateways that read names from each source.
func TestCertManager(t *testing.T) {
	t.Parallel()
	root := ca.New(t, func(c *x509.Certificate) {
		c.KeyUsage, c.NotAfter = x509.KeyUsageCertSign, time.Now().Add(365*day)
	})
	certificates := map[string]harness.Certificate{}
	for source, spec := range certManagerSpecs {
		certificates[source] = issueWithCertManager(t, root, spec.fields)
	}
	for gate, spec := range certManagerSpecs {
		t.Run(gate, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, &harness.MasterKey{PublicKey: string(root.CertificatePEM())}, harness.Env{"AUTH_IDENTITY": gate})
			for source, certificate := range certificates {
				request := harness.Get("/events", certificate)
				bothNames := source == "ou" && gate == "cn"
				if source != gate && !bothNames {
					g.WantRefused(t, request, refusal.IdentityMissing)
					continue
				}
				head := g.WantAllowed(t, request)
				if clients := harness.HeaderValues(head, "X-Client-Id"); len(clients) != 1 || clients[0] != spec.client {
					t.Errorf("%s: client %q, want %q", source, clients, spec.client)
				}
			}
		})
	}
}
