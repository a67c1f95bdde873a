// Package trust decides whether a certificate was issued under the master key.
//
// An anchor is a bare public key or a CA certificate. A certificate is trusted
// if an anchor signed it, directly or through intermediates, the current time is
// inside its validity period, it may be used by a client, and it has not been
// revoked. Names and access rules are handled by other packages, except the name
// constraints of CA certificates.
//
// Most callers need three things: [ParseKeyring] reads the anchors, [NewVerifier]
// joins them with revocations and limits, and [Verifier.Verify] verifies one
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

// KeyID identifies a key: the SHA-256 of its SubjectPublicKeyInfo in DER
// (RFC 5280, section 4.1). The same key has the same id whether it came as a
// bare key or inside a certificate.
type KeyID [sha256.Size]byte

// String is the whole id, 64 lower-case hex digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// Short is the first 16 digits, for people and log lines.
func (id KeyID) Short() string { return hex.EncodeToString(id[:8]) }

// Verified is a certificate that an anchor vouches for at one moment. Only
// [Verifier.Verify] makes one; the zero value is nobody's certificate, and
// every function that takes a Verified refuses it. It is immutable, may be
// shared, and costs no more to copy than a pointer. Two are equal when they come
// from the same verification.
type Verified struct{ found *found }

// found is what a verification found. It is never changed.
type found struct {
	cert        *x509.Certificate
	keyID       KeyID
	shortKeyID  string
	ownKeyID    KeyID
	fingerprint string
	serial      string
	sharedKey   bool
	from, until time.Time
}

// notAfter returns the end of the validity period, or the zero time when there is
// no certificate.
func (f *found) notAfter() time.Time {
	if f.cert == nil {
		return time.Time{}
	}
	return f.cert.NotAfter
}

// what returns the verification's result, or an empty one for the zero Verified.
func (v Verified) what() *found {
	if v.found == nil {
		return &found{}
	}
	return v.found
}

// Valid reports whether this value came from a successful verification.
func (v Verified) Valid() bool { return v.found != nil }

// Certificate is the verified certificate, nil for the zero value. The caller
// must not change it.
func (v Verified) Certificate() *x509.Certificate { return v.what().cert }

// KeyID is the anchor that accepted the certificate.
func (v Verified) KeyID() KeyID { return v.what().keyID }

// ShortKeyID is KeyID().Short(), made once for as many requests as the
// certificate is used for; empty for the zero value.
func (v Verified) ShortKeyID() string { return v.what().shortKeyID }

// OwnKeyID is the id of the certificate's own key, which its client holds. Two
// spellings of one key have one id.
func (v Verified) OwnKeyID() KeyID { return v.what().ownKeyID }

// Serial is the certificate's serial number as an even number of lower-case hex
// digits.
func (v Verified) Serial() string { return v.what().serial }

// NotAfter returns the end of the certificate's validity period, or the zero time
// for the zero value.
func (v Verified) NotAfter() time.Time { return v.what().notAfter() }

// Fingerprint is the hex SHA-256 of RawTBSCertificate: of the signed bytes, not
// of the whole certificate, because the signature beside them can be re-encoded
// by anybody (for ECDSA, s and n-s are both valid) and still verify.
func (v Verified) Fingerprint() string { return v.what().fingerprint }

// SharedKey reports whether the certificate's own key is one that issues
// certificates: the 2012 recipe, self-signed with the master key. Such a client
// owns no key and can never prove possession of one.
func (v Verified) SharedKey() bool { return v.what().sharedKey }

// keyIDOf is the id of the certificate's own key. It is computed from the key as
// an anchor's is, not from the certificate's spelling of it.
func keyIDOf(cert *x509.Certificate) KeyID {
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		spki = cert.RawSubjectPublicKeyInfo
	}
	return sha256.Sum256(spki)
}

// Holds reports whether the [Verifier] that made this value would accept the
// certificate at the time now as well: no certificate that came with it and no
// anchor begins or ends in between, and no revocation list goes stale. It knows
// nothing of other anchors and revocations than that Verifier's, and it may say
// no where verifying again would succeed. The zero value never holds.
func (v Verified) Holds(now time.Time) bool {
	return v.found != nil && !now.Before(v.found.from) && !now.After(v.found.until)
}

func newFound(cert *x509.Certificate, by Anchor) *found {
	sum := sha256.Sum256(cert.RawTBSCertificate)
	return &found{
		cert:        cert,
		keyID:       by.id,
		shortKeyID:  by.id.Short(),
		ownKeyID:    keyIDOf(cert),
		fingerprint: hex.EncodeToString(sum[:]),
		serial:      serialText(cert.SerialNumber),
	}
}
