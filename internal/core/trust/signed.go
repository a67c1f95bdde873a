package trust

import (
	"crypto/x509"
	"errors"
	"time"
)

// Signed describes a certificate that an anchor signed, directly or through
// intermediates, and that [Verifier.Verify] refused for another reason: it has
// expired, is revoked or is not a client certificate, for example. It is for the
// log and grants nothing. The zero value describes no certificate.
type Signed struct{ details *found }

// RefusedCertificate returns the certificate that err refuses, if err comes from
// [Verifier.Verify] and the signature on the certificate was verified. Otherwise
// it returns the zero value.
func RefusedCertificate(err error) Signed {
	if r, ok := errors.AsType[*signedError](err); ok {
		return r.signed
	}
	return Signed{}
}

// Valid reports whether the value describes a certificate.
func (s Signed) Valid() bool { return s.details != nil }

func (s Signed) orEmpty() *found {
	if s.details == nil {
		return &found{}
	}
	return s.details
}

// Certificate returns the refused certificate, or nil for the zero value. The
// caller must not change it.
func (s Signed) Certificate() *x509.Certificate { return s.orEmpty().cert }

// ShortKeyID returns the first 16 digits of the id of the anchor that signed the
// certificate, or "" for the zero value.
func (s Signed) ShortKeyID() string { return s.orEmpty().shortKeyID }

// Serial returns the serial number as an even number of lower-case hex digits,
// or "" for the zero value.
func (s Signed) Serial() string { return s.orEmpty().serial }

// NotAfter returns the end of the certificate's validity period, or the zero time
// for the zero value.
func (s Signed) NotAfter() time.Time { return s.orEmpty().notAfter() }

// SharedKey reports whether the certificate's own key also issues certificates.
func (s Signed) SharedKey() bool { return s.orEmpty().sharedKey }

// signedError is the refusal of a certificate whose signature was verified.
// [refusal.Of] finds the refusal inside it.
type signedError struct {
	refusal error
	signed  Signed
}

// Error returns the text of the refusal.
func (r *signedError) Error() string { return r.refusal.Error() }

// Unwrap returns the refusal.
func (r *signedError) Unwrap() error { return r.refusal }
