package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// RFC 5280, sections 4.2.1.6 and 4.2.1.10.
var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
)

// Tag numbers of GeneralName (RFC 5280, section 4.2.1.6).
const (
	tagOtherName     = 0
	tagRFC822        = 1
	tagDNS           = 2
	tagX400          = 3
	tagDirectoryName = 4
	tagEDIParty      = 5
	tagURI           = 6
	tagIP            = 7
	tagRegisteredID  = 8
)

// directoryConstraints are the directoryName subtrees of one CA's name constraints.
// crypto/x509 evaluates the other kinds. The zero value permits every name.
type directoryConstraints struct {
	permitted, excluded []distinguishedName
}

// constraintsOf returns the directoryName constraints of a CA certificate. A constraint
// of a kind that neither this package nor crypto/x509 evaluates is an error: ignoring it
// would accept certificates that the CA must not issue.
func constraintsOf(ca *x509.Certificate) (c directoryConstraints, err error) {
	i := slices.IndexFunc(ca.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints) })
	if i < 0 {
		return directoryConstraints{}, nil
	}
	var raw struct {
		Permitted []asn1.RawValue `asn1:"optional,tag:0"`
		Excluded  []asn1.RawValue `asn1:"optional,tag:1"`
	}
	if rest, err := asn1.Unmarshal(ca.Extensions[i].Value, &raw); err != nil || len(rest) > 0 {
		return directoryConstraints{}, errors.New("want name constraints in DER, found another encoding")
	}
	if c.permitted, err = subtrees(raw.Permitted); err != nil {
		return directoryConstraints{}, err
	}
	if c.excluded, err = subtrees(raw.Excluded); err != nil {
		return directoryConstraints{}, err
	}
	return c, nil
}

// subtrees returns the directory names of a GeneralSubtrees.
func subtrees(list []asn1.RawValue) ([]distinguishedName, error) {
	var names []distinguishedName
	for _, subtree := range list {
		var base asn1.RawValue
		rest, err := asn1.Unmarshal(subtree.Bytes, &base)
		// Section 4.2.1.10: minimum is 0, which DER omits, and maximum is absent.
		if err != nil || len(rest) > 0 || base.Class != asn1.ClassContextSpecific {
			return nil, errors.New("want name constraints without minimum and maximum, found another encoding")
		}
		switch base.Tag {
		case tagRFC822, tagDNS, tagURI, tagIP:
		case tagDirectoryName:
			name, err := parseName(base.Bytes)
			if err != nil {
				return nil, fmt.Errorf("want a readable directoryName constraint: %w", err)
			}
			names = append(names, name)
		default:
			return nil, fmt.Errorf("want name constraints on directoryName, DNS, IP address, email and URI names only, found one on %s, which is not evaluated", kindOf(base.Tag))
		}
	}
	return names, nil
}

// kindOf returns the name of an unsupported kind of GeneralName.
func kindOf(tag int) string {
	switch tag {
	case tagOtherName:
		return "otherName"
	case tagX400:
		return "x400Address"
	case tagEDIParty:
		return "ediPartyName"
	case tagRegisteredID:
		return "registeredID"
	default:
		return fmt.Sprintf("tag %d", tag)
	}
}

// checkDirectoryNames applies the directoryName constraints of every CA of a chain,
// including the anchor, to the certificates below it (RFC 5280, sections 6.1.3 (b)
// and (c) and 6.1.4 (g)). The chain begins with the client's certificate.
func checkDirectoryNames(chain []*x509.Certificate) error {
	for i, ca := range chain[1:] {
		constraints, err := constraintsOf(ca)
		if err != nil {
			return fmt.Errorf("the name constraints of the CA %.200q: %w", SubjectText(ca), err)
		}
		if constraints.isEmpty() {
			continue
		}
		for j, c := range chain[:i+1] {
			// Section 6.1.3: a self-issued certificate is not checked, except the last.
			if selfIssued := string(c.RawSubject) == string(c.RawIssuer); selfIssued && j > 0 {
				continue
			}
			if err := constraints.check(c); err != nil {
				return fmt.Errorf("the name constraints of the CA %.200q: %w", SubjectText(ca), err)
			}
		}
	}
	return nil
}

func (c directoryConstraints) isEmpty() bool { return len(c.permitted) == 0 && len(c.excluded) == 0 }

// check applies the constraints to the subject, unless it is empty, and to every
// directoryName in the subject alternative names.
func (c directoryConstraints) check(cert *x509.Certificate) error {
	names, err := directoryNames(cert)
	if err != nil {
		return err
	}
	for _, name := range names {
		if len(c.permitted) > 0 && !slices.ContainsFunc(c.permitted, name.isPermittedBy) {
			return fmt.Errorf("want a name in a permitted directoryName subtree, found %.200q", SubjectText(cert))
		}
		if slices.ContainsFunc(c.excluded, name.isExcludedBy) {
			return fmt.Errorf("want a name outside the excluded directoryName subtrees, found %.200q", SubjectText(cert))
		}
	}
	return nil
}

// directoryNames returns the names of a certificate that directoryName constraints
// apply to.
func directoryNames(cert *x509.Certificate) ([]distinguishedName, error) {
	subject, err := parseName(cert.RawSubject)
	if err != nil {
		return nil, err
	}
	var names []distinguishedName
	if len(subject) > 0 {
		names = append(names, subject)
	}
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		var alternatives []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &alternatives); err != nil || len(rest) > 0 {
			return nil, errors.New("want subject alternative names in DER, found another encoding")
		}
		for _, a := range alternatives {
			if a.Class != asn1.ClassContextSpecific || a.Tag != tagDirectoryName {
				continue
			}
			name, err := parseName(a.Bytes)
			if err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}
