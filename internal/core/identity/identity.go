// Package identity reads the client's name from a verified certificate.
//
// The client's name is the certificate's organizational unit (OU, RFC 5280,
// section 4.1.2.6). There must be exactly one OU, and it must be a valid name as
// defined by [CheckName]. The name is sent to the upstream in a header, is compared
// with the access rules and appears in the log. It is never trimmed, folded or
// normalized: other names are refused.
//
// Only [Of] returns a valid [Client]. Code that takes a Client can therefore not be
// called with a name that was not verified.
package identity

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Client is one application, identified by its verified certificate. The zero value is
// not Valid, and every package refuses it.
type Client struct {
	name        string
	certificate trust.Verified
}

// Of reads the client's name from a verified certificate. Every error is a
// [*refusal.Error]. Its reason is IdentityMissing for a zero Verified or a certificate
// without OU, IdentityAmbiguous for several OUs, and IdentityInvalid for an OU that is
// not a valid name.
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

// Claimed reads the name from a certificate that was not verified. It makes the same
// checks as [Of] and returns the same errors. The result is for display to the operator
// and must not be used for access decisions.
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

// Name returns the client's name, unchanged from the certificate, or "" for the zero
// value.
func (c Client) Name() string { return c.name }

// String returns the name, for the log.
func (c Client) String() string { return c.name }

// Certificate returns the verified certificate from which the name was read.
func (c Client) Certificate() trust.Verified { return c.certificate }

// Valid reports whether [Of] returned the value without an error.
func (c Client) Valid() bool { return c.name != "" && c.certificate.Valid() }

// subject is a certificate's subject with its values not decoded. pkix.Name omits values
// that are not strings, so it could hide a second OU.
type subject []relativeNameSET

// relativeNameSET is one relative distinguished name. encoding/asn1 decodes a type whose
// name ends in SET as an ASN.1 SET.
type relativeNameSET []attribute

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// organizationalUnit returns the text of the only OU.
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

// organizationalUnits returns every OU attribute of a subject in DER, of any ASN.1 type
// and also from sets with several attributes.
func organizationalUnits(der []byte) ([]asn1.RawValue, error) {
	var s subject
	rest, err := asn1.Unmarshal(der, &s)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after its end", len(rest))
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

// endsInNUL reports whether the value is a BMPString whose last character is NUL.
// crypto/x509 removes that character, so two different OUs would have the same name.
func endsInNUL(v asn1.RawValue) bool {
	n := len(v.Bytes)
	return v.Tag == asn1.TagBMPString && n >= 2 && v.Bytes[n-2] == 0 && v.Bytes[n-1] == 0
}
