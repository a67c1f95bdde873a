// Package identity reads the client's name from a verified certificate.
//
// A [Source] is the part of a certificate that holds the name: the organizational unit
// (OU), the common name, or a URI, DNS name or email address among the subject
// alternative names. A [Reader] reads exactly one source. There must be exactly one value
// of that kind, and it must be a valid name as defined by [Source.CheckName]. Another
// source is never used instead.
//
// The name is sent to the upstream in a header, is compared with the access rules and
// appears in the log. It is never trimmed or normalized: other names are refused. The
// exception is the case of DNS names, which are read in lower case, because DNS does not
// distinguish it.
//
// A [Scope] restricts the names that one anchor may issue.
//
// Only [Reader.Of] returns a valid [Client]. Code that takes a Client can therefore not be
// called with a name that was not verified.
package identity

import "github.com/certgate/certgate/internal/core/trust"

// Client is one application, identified by its verified certificate. The zero value is
// not Valid, and every package refuses it. A Client is immutable and as cheap to copy as a
// pointer.
type Client struct{ identified *identified }

// identified is the result of [Reader.Of]. It is never changed.
type identified struct {
	name        string
	source      Source
	certificate trust.Verified
}

// Name returns the client's name, or "" for the zero value.
func (c Client) Name() string {
	if c.identified == nil {
		return ""
	}
	return c.identified.name
}

// String returns the name, for the log.
func (c Client) String() string { return c.Name() }

// Source returns the part of the certificate from which the name was read, or "" for the
// zero value.
func (c Client) Source() Source {
	if c.identified == nil {
		return ""
	}
	return c.identified.source
}

// Certificate returns the verification of the certificate from which the name was read,
// without the parsed certificate.
func (c Client) Certificate() trust.Verified {
	if c.identified == nil {
		return trust.Verified{}
	}
	return c.identified.certificate
}

// Valid reports whether [Reader.Of] returned the value without an error.
func (c Client) Valid() bool { return c.identified != nil }
