package trust_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
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
	plain := newForge(f, func(c *x509.Certificate) { c.Subject.CommonName = "root" })
	leaf := clientTemplate()
	f.Fuzz(func(t *testing.T, content []byte, critical bool) {
		template := caTemplate("constrained")
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: critical, Value: content}}
		constrained := forge{tb: t, key: plain.key}
		der, err := x509.CreateCertificate(rand.Reader, template, template, plain.key.Public(), plain.key)
		if err != nil {
			t.Skip(err)
		}
		if constrained.ca, err = x509.ParseCertificate(der); err != nil {
			t.Skip(err)
		}
		cert := constrained.sign(leaf, constrained.ca, plain.key.Public())
		root := forge{tb: t, key: plain.key, ca: plain.ca}
		intermediate := root.sign(template, plain.ca, plain.key.Public())
		_, below := trust.NewVerifier(keyring(t, root.anchor()), nil, trust.Limits{}).Verify(cert, noon(), intermediate)
		ring, err := trust.ParseKeyring(constrained.anchor(), 0)
		if err == nil {
			_, err = trust.NewVerifier(ring, nil, trust.Limits{}).Verify(cert, noon())
		}
		if (err == nil) != (below == nil) {
			t.Errorf("%x: below the anchor: %v; below the intermediate: %v", content, err, below)
		}
	})
}
