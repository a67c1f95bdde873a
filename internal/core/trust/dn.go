package trust

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// distinguishedName is a Name (RFC 5280, section 4.1.2.4) in which values can be
// compared.
type distinguishedName []relativeName

// relativeName is one RelativeDistinguishedName, a set of attributes.
type relativeName []attribute

type attribute struct {
	kind asn1.ObjectIdentifier
	text string // decoded from any string type
}

// attributeSET is one RelativeDistinguishedName in DER. encoding/asn1 decodes a type
// whose name ends in SET as an ASN.1 SET.
type attributeSET []struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// parseName decodes a Name whose values are all strings. crypto/x509 refuses
// certificates with other values.
func parseName(der []byte) (distinguishedName, error) {
	var raw []attributeSET
	if rest, err := asn1.Unmarshal(der, &raw); err != nil || len(rest) > 0 {
		return nil, errors.New("want a distinguished name in DER, found another encoding")
	}
	name := make(distinguishedName, len(raw))
	for i, set := range raw {
		for _, a := range set {
			var value any
			if _, err := asn1.Unmarshal(a.Value.FullBytes, &value); err != nil {
				return nil, errors.New("want a distinguished name in DER, found another encoding")
			}
			text, ok := value.(string)
			if !ok {
				return nil, fmt.Errorf("want a distinguished name of text, found ASN.1 tag %d", a.Value.Tag)
			}
			name[i] = append(name[i], attribute{a.Type, text})
		}
	}
	return name, nil
}

// isPermittedBy reports whether the name is in a permitted subtree, which means that it
// begins with the relative names of the base (RFC 5280, section 7.1). Values are compared
// without regard to case, string type and the number of spaces. Organizational units and
// common names are compared byte for byte, as client names are: a CA for the client
// "tenant" must not issue certificates for the client "Tenant".
func (n distinguishedName) isPermittedBy(base distinguishedName) bool {
	return n.beginsWith(base, func(a, b relativeName) bool {
		return a.containsAll(b, attribute.equalsPermitted) && b.containsAll(a, attribute.equalsPermitted)
	})
}

// isExcludedBy reports whether the name is in an excluded subtree. The comparison is
// wider than for permitted subtrees: all values are compared without regard to case, and
// a relative name may have attributes that the base does not have.
func (n distinguishedName) isExcludedBy(base distinguishedName) bool {
	return n.beginsWith(base, func(a, b relativeName) bool { return a.containsAll(b, attribute.equalsFolded) })
}

func (n distinguishedName) beginsWith(base distinguishedName, equal func(a, b relativeName) bool) bool {
	return len(n) >= len(base) && slices.EqualFunc(n[:len(base)], base, equal)
}

// containsAll reports whether r has an equal attribute for each attribute of other.
func (r relativeName) containsAll(other relativeName, equal func(a, b attribute) bool) bool {
	return !slices.ContainsFunc(other, func(b attribute) bool {
		return !slices.ContainsFunc(r, func(a attribute) bool { return equal(a, b) })
	})
}

// Attributes that may hold the client's name (RFC 5280, appendix A.1).
var (
	oidCommonName         = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidOrganizationalUnit = asn1.ObjectIdentifier{2, 5, 4, 11}
)

// equalsPermitted compares attributes for permitted subtrees.
func (a attribute) equalsPermitted(b attribute) bool {
	if mayBeClient := a.kind.Equal(oidOrganizationalUnit) || a.kind.Equal(oidCommonName); mayBeClient && a.text != b.text {
		return false
	}
	return a.equalsFolded(b)
}

// equalsFolded compares attributes without regard to case and spaces.
func (a attribute) equalsFolded(b attribute) bool {
	return a.kind.Equal(b.kind) && fold(a.text) == fold(b.text)
}

// fold returns the text in one case, without spaces at its ends and with single
// spaces inside (RFC 4518, sections 2.2 and 2.6.1). It does not normalize Unicode.
func fold(text string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.ToUpper(text))), " ")
}
