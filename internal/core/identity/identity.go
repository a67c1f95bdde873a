// Package identity says which client a verified certificate speaks for.
//
// The client's name is the certificate's organizational unit (OU, RFC 5280,
// section 4.1.2.6). There must be exactly one and it must be a clean name as
// [CheckName] defines it. A name becomes a header at the upstream, a key of the
// access rules and a word in the log, so it is never trimmed, folded or
// normalised: what is not clean is refused.
//
// A [Client] comes from [Of] and from nowhere else, so code that asks for a
// Client cannot be reached with a name that nobody verified.
package identity

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Client is one application, known by its verified certificate. The zero value
// is no client: it is not Valid and every package refuses it.
type Client struct {
	name        string
	certificate trust.Verified
}

// Of reads the client's name from a verified certificate. It fails closed, with
// a [*refusal.Error] of reason IdentityMissing for a zero Verified or a
// certificate without OU, IdentityAmbiguous for two OUs or more, and
// IdentityInvalid for one OU that is not a clean name.
func Of(v trust.Verified) (Client, error) {
	if !v.Valid() {
		return Client{}, refusal.New(refusal.IdentityMissing, "want a verified certificate, found none")
	}
	name, err := Claimed(v.Certificate())
	if err != nil {
		return Client{}, err
	}
	return Client{name: name, certificate: v}, nil
}

// Claimed is the name that a certificate claims, checked as [Of] checks it, and
// with the same errors, but verified by nobody: it is for an operator's eyes and
// decides nothing.
func Claimed(cert *x509.Certificate) (string, error) {
	name, err := organizationalUnit(cert)
	if err != nil {
		return "", err
	}
	if err := CheckName(name); err != nil {
		return "", refusal.New(refusal.IdentityInvalid, "organizational unit %.80q: %v", name, err)
	}
	return name, nil
}

// Name is the client's name, byte for byte as the certificate has it, or ""
// for the zero value.
func (c Client) Name() string { return c.name }

// String is the name, for the log.
func (c Client) String() string { return c.name }

// Certificate is the verified certificate that the name was read from.
func (c Client) Certificate() trust.Verified { return c.certificate }

// Valid is true for every Client that [Of] returned without an error.
func (c Client) Valid() bool { return c.name != "" && c.certificate.Valid() }

// subject is the certificate's subject before anybody interprets the values:
// pkix.Name drops what is not a string, and would so hide a second OU.
type subject []relativeNameSET

// relativeNameSET is one relative distinguished name. encoding/asn1 reads a
// type whose name ends in SET as an ASN.1 SET.
type relativeNameSET []attribute

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// organizationalUnit is the text of the only OU.
func organizationalUnit(cert *x509.Certificate) (string, error) {
	values, err := organizationalUnits(cert.RawSubject)
	if err != nil {
		return "", refusal.New(refusal.IdentityInvalid, "want a readable subject, found %v", err)
	}
	texts := cert.Subject.OrganizationalUnit
	switch {
	case len(values) == 0:
		return "", refusal.New(refusal.IdentityMissing, "want one organizational unit, found none")
	case len(values) > 1:
		return "", refusal.New(refusal.IdentityAmbiguous, "want one organizational unit, found %d: %.80q", len(values), texts[:min(len(texts), 4)])
	case len(texts) != 1:
		return "", refusal.New(refusal.IdentityInvalid, "want an organizational unit that is a string, found ASN.1 tag %d", values[0].Tag)
	case endsInNUL(values[0]):
		return "", refusal.New(refusal.IdentityInvalid, "want no NUL at the end of the organizational unit, found one")
	}
	return texts[0], nil
}

// organizationalUnits is every OU attribute of a DER encoded subject, whatever
// its type and whether or not it shares its set with other attributes.
func organizationalUnits(der []byte) ([]asn1.RawValue, error) {
	var s subject
	rest, err := asn1.Unmarshal(der, &s)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind its end", len(rest))
	}
	ou := asn1.ObjectIdentifier{2, 5, 4, 11}
	var values []asn1.RawValue
	for _, set := range s {
		for _, a := range set {
			if a.Type.Equal(ou) {
				values = append(values, a.Value)
			}
		}
	}
	return values, nil
}

// endsInNUL reports a BMPString whose last character is NUL. crypto/x509 strips
// that character, so two different OUs would give the same name.
func endsInNUL(v asn1.RawValue) bool {
	n := len(v.Bytes)
	return v.Tag == asn1.TagBMPString && n >= 2 && v.Bytes[n-2] == 0 && v.Bytes[n-1] == 0
}
