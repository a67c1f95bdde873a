// Package trust decides whether a certificate was issued under the master key.
//
// An anchor is a bare public key or a CA certificate. A certificate is trusted
// if an anchor signed it, directly or through intermediates, the current time is
// inside its validity period, it may be used by a client, and it has not been
// revoked. Names and access rules are handled by other packages, except the name
// constraints of CA certificates.
//
// Most callers need three things: [ParseKeyring] reads the anchors, [NewVerifier]
// combines them with revocations and limits, and [Verifier.Verify] verifies one
// certificate.
//
// Only this package can create a valid [Verified]. Code that needs a trusted
// certificate takes a Verified, so code that forgets to verify does not compile.
package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// KeyID identifies a key by the SHA-256 of its SubjectPublicKeyInfo in DER
// (RFC 5280, section 4.1). A bare key and a certificate over the same key have the
// same id.
type KeyID [sha256.Size]byte

// String returns the whole id as 64 lower-case hex digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 16 digits, for log lines and terminal output.
func (id KeyID) Short() string { return hex.EncodeToString(id[:8]) }

// Verified is a certificate that was verified at one point in time. Only
// [Verifier.Verify] returns a valid one. The zero value holds no certificate, and
// every function that takes a Verified refuses it. A Verified is immutable, safe for
// concurrent use and as cheap to copy as a pointer. Two values are equal if they come
// from the same verification.
type Verified struct{ verification *verification }

// verification is the result of one successful verification, or of one that failed
// after the signature was verified. It is never changed.
type verification struct {
	cert        *x509.Certificate
	keyID       KeyID
	issuers     []KeyID // of the path: see IssuerKeyIDs
	shortKeyID  string
	ownKeyID    KeyID
	fingerprint string
	thumbprint  [sha256.Size]byte
	serial      string
	sharedKey   bool
	// The result stays the same from the first to the second time, both included.
	from, until time.Time
}

// notAfter returns the end of the validity period, or the zero time if there is no
// certificate.
func (f *verification) notAfter() time.Time {
	if f.cert == nil {
		return time.Time{}
	}
	return f.cert.NotAfter
}

// details returns the verification result, or an empty one for the zero Verified.
func (v Verified) details() *verification {
	if v.verification == nil {
		return &verification{}
	}
	return v.verification
}

// Valid reports whether this value came from a successful verification.
func (v Verified) Valid() bool { return v.verification != nil }

// Certificate returns the verified certificate, or nil for the zero value. The caller
// must not change it.
func (v Verified) Certificate() *x509.Certificate { return v.details().cert }

// KeyID returns the id of the anchor that the certificate was verified with.
func (v Verified) KeyID() KeyID { return v.details().keyID }

// IssuerKeyIDs returns the ids of the keys on the path, from the key that signed the
// certificate to the anchor's, which is [Verified.KeyID]. It is nil for the zero value.
// The caller must not change it.
func (v Verified) IssuerKeyIDs() []KeyID { return v.details().issuers }

// ShortKeyID returns KeyID().Short(), computed once when the certificate was verified.
// It is empty for the zero value.
func (v Verified) ShortKeyID() string { return v.details().shortKeyID }

// OwnKeyID returns the id of the certificate's own key, whose private half the client
// holds. Different encodings of one key have the same id.
func (v Verified) OwnKeyID() KeyID { return v.details().ownKeyID }

// Serial returns the certificate's serial number as an even number of lower-case hex
// digits.
func (v Verified) Serial() string { return v.details().serial }

// NotAfter returns the end of the certificate's validity period, or the zero time
// for the zero value.
func (v Verified) NotAfter() time.Time { return v.details().notAfter() }

// Fingerprint returns the hex SHA-256 of RawTBSCertificate, which are the signed bytes.
// The hash of the whole certificate would not identify it: the sender can encode the
// signature differently (for ECDSA, s and n-s are both valid) and it still verifies.
func (v Verified) Fingerprint() string { return v.details().fingerprint }

// Thumbprint returns the SHA-256 of the whole certificate in DER, as the client sent it
// (x5t#S256, RFC 8705, section 3.1). One certificate can have several: see
// [Verified.Fingerprint]. It is all zeros for the zero value.
func (v Verified) Thumbprint() [sha256.Size]byte { return v.details().thumbprint }

// SharedKey reports whether the certificate's own key also issues certificates, as in
// the 2012 recipe, where clients have certificates self-signed with the master key.
// Such a client has no key of its own and cannot prove possession of one.
func (v Verified) SharedKey() bool { return v.details().sharedKey }

// keyIDOf returns the id of the certificate's own key. It encodes the parsed key again,
// as for an anchor, because the encoding in the certificate may differ.
func keyIDOf(cert *x509.Certificate) KeyID {
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		spki = cert.RawSubjectPublicKeyInfo
	}
	return sha256.Sum256(spki)
}

// ValidAt reports whether the [Verifier] that returned this value would also accept the
// certificate at the time now. Between the two times, no validity period of an anchor
// or of a certificate sent with it may begin or end, and no revocation list may become
// outdated. ValidAt considers the anchors and revocations of that Verifier only. It may
// return false for a certificate that would be verified again. It returns false for the
// zero value.
func (v Verified) ValidAt(now time.Time) bool {
	return v.verification != nil && !now.Before(v.verification.from) && !now.After(v.verification.until)
}

func newVerification(cert *x509.Certificate, p path) *verification {
	sum := sha256.Sum256(cert.RawTBSCertificate)
	return &verification{
		cert:        cert,
		keyID:       p.anchor.id,
		issuers:     p.issuers(),
		shortKeyID:  p.anchor.id.Short(),
		ownKeyID:    keyIDOf(cert),
		fingerprint: hex.EncodeToString(sum[:]),
		thumbprint:  sha256.Sum256(cert.Raw),
		serial:      serialText(cert.SerialNumber),
	}
}
