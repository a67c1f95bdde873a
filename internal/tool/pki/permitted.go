package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// Permitted is a permitted subtree of a CA's name constraints (RFC 5280, section
// 4.2.1.10): the names of one source that the CA may issue.
type Permitted struct {
	Source identity.Source
	// Name is a client name for ou and cn. For dns, uri and email it is a host: for dns
	// with the hosts below it, and for uri and email this host, or the hosts below it
	// after a leading period. For email it may be a whole address.
	Name string
}

// ParsePermitted parses a text such as "uri=partner.example".
func ParsePermitted(text string) (Permitted, error) {
	source, name, found := strings.Cut(text, "=")
	if !found {
		return Permitted{}, fmt.Errorf("want SOURCE=NAME such as uri=partner.example, found %.80q", text)
	}
	s, err := identity.ParseSource(source)
	if err != nil {
		return Permitted{}, err
	}
	p := Permitted{s, name}
	if err := p.check(); err != nil {
		return Permitted{}, fmt.Errorf("%.80q: %w", text, err)
	}
	return p, nil
}

func (p Permitted) check() error {
	switch {
	case p.Source == identity.OU || p.Source == identity.CN || p.Source == identity.Email && strings.Contains(p.Name, "@"):
		return p.Source.CheckName(p.Name)
	case p.Source == identity.URI || p.Source == identity.Email:
		return identity.DNS.CheckName(strings.TrimPrefix(p.Name, "."))
	default:
		return p.Source.CheckName(p.Name)
	}
}

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// nameConstraints returns the critical extension that permits only these names of their
// kinds. Names of other kinds are not limited. crypto/x509 cannot encode directory names.
func nameConstraints(permitted []Permitted) (pkix.Extension, error) {
	type subtree struct{ Base asn1.RawValue }
	var value struct {
		Permitted []subtree `asn1:"tag:0"`
	}
	for _, p := range permitted {
		if err := p.check(); err != nil {
			return pkix.Extension{}, err
		}
		base := asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: []byte(p.Name)}
		switch p.Source {
		case identity.Email:
			base.Tag = 1
		case identity.DNS:
			base.Tag = 2
		case identity.URI:
			base.Tag = 6
		default:
			name := pkix.Name{CommonName: p.Name}
			if p.Source == identity.OU {
				name = pkix.Name{OrganizationalUnit: []string{p.Name}}
			}
			der, err := asn1.Marshal(name.ToRDNSequence())
			if err != nil {
				return pkix.Extension{}, err
			}
			base.Tag, base.IsCompound, base.Bytes = 4, true, der
		}
		value.Permitted = append(value.Permitted, subtree{base})
	}
	der, err := asn1.Marshal(value)
	return pkix.Extension{Id: oidNameConstraints, Critical: true, Value: der}, err
}

// checkConstraints returns an error if the name constraints of the CA do not permit the
// certificate.
func (a *Authority) checkConstraints(certificate *x509.Certificate, now time.Time) error {
	limited := func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints) }
	if !slices.ContainsFunc(a.certificate.Extensions, limited) {
		return nil
	}
	ring, err := trust.ParseKeyring(a.CertificatePEM(), 0)
	if err != nil {
		return fmt.Errorf("CA certificate: %w", err)
	}
	if _, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(certificate, now); err != nil {
		return errors.New("want a client name that the name constraints of the CA permit, found another")
	}
	return nil
}
