package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Source is the part of a certificate that holds the client's name. The zero value is not
// a source: no name is valid, and no certificate has one.
type Source string

// The sources.
const (
	OU    Source = "ou"    // the organizational unit in the subject
	CN    Source = "cn"    // the common name in the subject
	URI   Source = "uri"   // the uniformResourceIdentifier among the subject alternative names
	DNS   Source = "dns"   // the dNSName among the subject alternative names
	Email Source = "email" // the rfc822Name among the subject alternative names
)

// Sources returns every source. The caller may change the slice.
func Sources() []Source { return []Source{OU, CN, URI, DNS, Email} }

// ParseSource returns the source with this name. Case matters.
func ParseSource(text string) (Source, error) {
	if s := Source(text); slices.Contains(Sources(), s) {
		return s, nil
	}
	return "", fmt.Errorf("want ou, cn, uri, dns or email, found %.40q", text)
}

// CheckName returns an error if name is not a valid client name of the source. The error
// describes the first violation and quotes at most one character of the name.
//
//   - ou and cn: 1 to 64 characters: ASCII letters and digits, and between them also
//     . _ - : @ / + and single spaces.
//   - uri: a SPIFFE ID with a path, or another absolute URI (RFC 3986, section 4.3) of at
//     most 255 characters: letters, digits and - . _ ~ : / @ + = with scheme and host in
//     lower case, without user information, query, fragment, percent-encoding, empty
//     segments and dot segments.
//   - dns: a host name (RFC 1123, section 2.1) in lower case, without wildcard and final
//     dot, of at most 253 characters.
//   - email: letters, digits and inner . _ - + = before the @, a host name in lower case
//     after it, of at most 254 characters.
func (s Source) CheckName(name string) error {
	switch s {
	case OU, CN:
		return checkAttribute(name)
	case URI:
		return checkURI(name)
	case DNS:
		return checkHost(name)
	case Email:
		return checkEmail(name)
	default:
		return fmt.Errorf("want a known source of client names, found %.40q", string(s))
	}
}

// CheckAny returns an error if name is not a valid client name of any source.
func CheckAny(name string) error {
	if slices.ContainsFunc(Sources(), func(s Source) bool { return s.CheckName(name) == nil }) {
		return nil
	}
	return OU.CheckName(name)
}

// CheckPrefix returns an error if no valid name of the source begins with prefix, or if
// the prefix ends inside the authority of a URI: https://partner.example would also match
// https://partner.example.org/.
func (s Source) CheckPrefix(prefix string) error {
	if prefix == "" {
		return errors.New("want a beginning of names, found none")
	}
	if err := s.CheckName(prefix); err != nil && s.CheckName(prefix+"a") != nil && s.CheckName(prefix+"a@a") != nil {
		return err
	}
	if _, after, found := strings.Cut(prefix, "://"); s == URI && found && !strings.Contains(after, "/") {
		return errors.New("want the whole host of the URI and the slash after it, found a part of the host")
	}
	return nil
}

// noun returns the name of one value in messages.
func (s Source) noun() string {
	switch s {
	case OU:
		return "organizational unit"
	case CN:
		return "common name"
	case URI:
		return "URI"
	case DNS:
		return "DNS name"
	case Email:
		return "email address"
	default:
		return "client name of an unknown kind"
	}
}

// claimed returns the name in a certificate that was not verified. Every error is a
// [*refusal.Error].
func (s Source) claimed(cert *x509.Certificate) (string, error) {
	values, err := s.values(cert)
	switch {
	case err != nil:
		return "", refusal.New(refusal.IdentityInvalid, "%v", err)
	case len(values) == 0:
		return "", refusal.New(refusal.IdentityMissing, "want one %s, found none%s", s.noun(), otherNames(cert, s))
	case len(values) > 1:
		return "", refusal.New(refusal.IdentityAmbiguous, "want one %s, found %d: %.80q", s.noun(), len(values), texts(values))
	case values[0].fault != nil:
		return "", refusal.New(refusal.IdentityInvalid, "%s: %v", s.noun(), values[0].fault)
	}
	name := values[0].text
	if err := s.CheckName(name); err != nil {
		return "", refusal.New(refusal.IdentityInvalid, "%s %.80q: %v", s.noun(), name, err)
	}
	return name, nil
}

// texts returns the first four values, for messages.
func texts(values []value) []string {
	var list []string
	for _, v := range values[:min(len(values), 4)] {
		list = append(list, v.text)
	}
	return list
}

// Claim is a name in a certificate that was not verified.
type Claim struct {
	Source Source
	Name   string
}

// Claims returns the valid names in a certificate, at most one of each source. They are
// for display and must not be used for access decisions.
func Claims(cert *x509.Certificate) []Claim {
	var list []Claim
	for _, s := range Sources() {
		if values, err := s.values(cert); err == nil && len(values) == 1 && values[0].fault == nil && s.CheckName(values[0].text) == nil {
			list = append(list, Claim{s, values[0].text})
		}
	}
	return list
}

// otherNames describes the names of other sources, for the refusal of a certificate
// without a name of this one.
func otherNames(cert *x509.Certificate, missing Source) string {
	var list []string
	for _, c := range Claims(cert) {
		if c.Source != missing {
			list = append(list, fmt.Sprintf("%s %.80q", c.Source, c.Name))
		}
	}
	if list == nil {
		return ""
	}
	return "; the certificate has a client name of another kind: " + strings.Join(list, ", ")
}
