package trust

import (
	"crypto/x509"
	"errors"
)

// Signed describes a certificate that an anchor signed, directly or through
// intermediates, and that [Verifier.Verify] refused for another reason, such as
// expiry or revocation. It is for the log and grants nothing. The zero value
// describes no certificate.
type Signed struct{ verification *verification }

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
func (s Signed) Valid() bool { return s.verification != nil }

// details returns the verification result, or an empty one for the zero Signed.
func (s Signed) details() *verification {
	if s.verification == nil {
		return &verification{}
	}
	return s.verification
}

// Certificate returns the refused certificate, or nil for the zero value. The
// caller must not change it.
func (s Signed) Certificate() *x509.Certificate { return s.details().cert }

// ShortKeyID returns the first 16 digits of the id of the anchor that signed the
// certificate, or "" for the zero value.
func (s Signed) ShortKeyID() string { return s.details().shortKeyID }

// IssuerKeyIDs returns the ids of the keys on the path, as [Verified.IssuerKeyIDs] does.
func (s Signed) IssuerKeyIDs() []KeyID { return s.details().issuers }

// Serial returns the serial number as an even number of lower-case hex digits,
// or "" for the zero value.
func (s Signed) Serial() string { return s.details().serial }

// NotAfter returns the end of the certificate's validity period as [Verified.NotAfter] does.
func (s Signed) NotAfter() string { return s.details().notAfter }

// Summary returns ShortKeyID, Serial, NotAfter and SharedKey, for log lines.
func (s Signed) Summary() (keyID, serial, notAfter string, sharedKey bool) {
	return s.details().summary()
}

// SharedKey reports whether the certificate's own key also issues certificates.
func (s Signed) SharedKey() bool { return s.details().sharedKey }

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
