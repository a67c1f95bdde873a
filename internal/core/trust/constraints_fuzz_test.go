package trust_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// FuzzNameConstraints puts any content into the nameConstraints extension of a CA.
// An anchor and an intermediate with the same constraints must agree: on whether
// they can be evaluated, and on what they permit.
func FuzzNameConstraints(f *testing.F) {
	for _, content := range [][]byte{
		encode(f, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: subtreesDER(f, 0, nil, general(4, dn(f, "/O=Example")))}),
		encode(f, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: subtreesDER(f, 1, nil, general(4, dn(f, "/O=Example/OU=mail")))}),
		encode(f, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: subtreesDER(f, 0, nil, general(2, []byte("example.org")), general(8, []byte{0x2a}))}),
		{0x30, 0},
	} {
		f.Add(content, true)
		f.Add(content, false)
	}
	plain := ca.New(f, func(c *x509.Certificate) { c.Subject.CommonName = "root" })
	leaf := ca.ClientTemplate()
	f.Fuzz(func(t *testing.T, content []byte, critical bool) {
		template := ca.Template("constrained")
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: critical, Value: content}}
		constrained := ca.CA{Key: plain.Key}
		der, err := x509.CreateCertificate(rand.Reader, template, template, plain.Key.Public(), plain.Key)
		if err != nil {
			t.Skip(err)
		}
		if constrained.Certificate, err = x509.ParseCertificate(der); err != nil {
			t.Skip(err)
		}
		cert := ca.Sign(t, leaf, constrained.Certificate, plain.Key.Public(), constrained.Key)
		root := ca.CA{Key: plain.Key, Certificate: plain.Certificate}
		intermediate := ca.Sign(t, template, plain.Certificate, plain.Key.Public(), root.Key)
		_, below := trust.NewVerifier(keyring(t, root.CertificatePEM()), nil, trust.Limits{}).Verify(cert, ca.Now(), intermediate)
		ring, err := trust.ParseKeyring(constrained.CertificatePEM(), 0)
		if err == nil {
			_, err = trust.NewVerifier(ring, nil, trust.Limits{}).Verify(cert, ca.Now())
		}
		if (err == nil) != (below == nil) {
			t.Errorf("%x: below the anchor: %v; below the intermediate: %v", content, err, below)
		}
	})
}
