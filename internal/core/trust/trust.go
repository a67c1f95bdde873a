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
// certificate takes a Verified, so code without a verification does not compile.
package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
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
// concurrent use and as cheap to copy as a pointer.
type Verified struct{ verification *verification }

// verification is the result of one successful verification, or of one that failed
// after the signature was verified. It is never changed.
type verification struct {
	cert        *x509.Certificate // nil in the result of WithoutCertificate
	keyID       KeyID
	issuers     []KeyID // of the path: see IssuerKeyIDs
	shortKeyID  string
	ownKeyID    KeyID
	publicKey   crypto.PublicKey
	fingerprint string
	thumbprint  [sha256.Size]byte
	serial      string
	sharedKey   bool
	notAfter    string
	size        int // see Size
	// The result stays the same from the first to the second time, both included.
	from, until time.Time
}

// details returns the verification result, or an empty one for the zero Verified. It is not
// inlined, so that the methods that call it are small enough to be inlined.
//
//go:noinline
func (v Verified) details() *verification {
	if v.verification == nil {
		return &verification{}
	}
	return v.verification
}

// Valid reports whether this value came from a successful verification.
func (v Verified) Valid() bool { return v.verification != nil }

// Certificate returns the verified certificate. It is nil for the zero value and after
// [Verified.WithoutCertificate]. The caller must not change it.
func (v Verified) Certificate() *x509.Certificate { return v.details().cert }

// WithoutCertificate returns the result of the same verification without the parsed
// certificate, which needs most of the memory. Every method except Certificate returns
// the same as before.
func (v Verified) WithoutCertificate() Verified {
	if v.details().cert == nil {
		return v
	}
	rest := *v.verification
	rest.cert = nil
	return Verified{&rest}
}

// Size returns the approximate memory in bytes of a valid Verified without its
// certificate.
func (v Verified) Size() int { return v.details().size }

// KeyID returns the id of the anchor that the certificate was verified with.
func (v Verified) KeyID() KeyID { return v.details().keyID }

// IssuerKeyIDs returns the ids of the keys on the path, from the key that signed the
// certificate to the anchor's, which is [Verified.KeyID]. It is nil for the zero value.
// The caller must not change it.
func (v Verified) IssuerKeyIDs() []KeyID { return v.details().issuers }

// ShortKeyID returns KeyID().Short(), computed once when the certificate was verified.
// It is empty for the zero value.
func (v Verified) ShortKeyID() string { return v.details().shortKeyID }

// Summary returns ShortKeyID, Serial, NotAfter and SharedKey, for log lines.
func (v Verified) Summary() (keyID, serial, notAfter string, sharedKey bool) {
	return v.details().summary()
}

func (v *verification) summary() (keyID, serial, notAfter string, sharedKey bool) {
	return v.shortKeyID, v.serial, v.notAfter, v.sharedKey
}

// OwnKeyID returns the id of the certificate's own key, whose private half the client
// holds. Different encodings of one key have the same id.
func (v Verified) OwnKeyID() KeyID { return v.details().ownKeyID }

// PublicKey returns the certificate's own key as [x509.Certificate] has it, or nil for
// the zero value. The caller must not change it.
func (v Verified) PublicKey() crypto.PublicKey { return v.details().publicKey }

// Serial returns the certificate's serial number as an even number of lower-case hex
// digits.
func (v Verified) Serial() string { return v.details().serial }

// NotAfter returns the end of the certificate's validity period in UTC, formatted as
// [time.RFC3339], or "" for the zero value.
func (v Verified) NotAfter() string { return v.details().notAfter }

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
	f := &verification{
		cert:        cert,
		keyID:       p.anchor.id,
		issuers:     p.issuers(),
		shortKeyID:  p.anchor.id.Short(),
		ownKeyID:    keyIDOf(cert),
		publicKey:   copyKey(cert.PublicKey),
		fingerprint: hex.EncodeToString(sum[:]),
		thumbprint:  sha256.Sum256(cert.Raw),
		serial:      serialText(cert.SerialNumber),
		notAfter:    cert.NotAfter.UTC().Format(time.RFC3339),
	}
	f.size = baseSize + len(cert.RawSubjectPublicKeyInfo) + len(f.serial) + len(f.notAfter) + len(f.issuers)*sha256.Size
	return f
}

// baseSize is the memory of a verification without the parts whose length varies.
const baseSize = 512

// copyKey copies an Ed25519 key, because it shares memory with the whole certificate.
// crypto/x509 copies the numbers of other keys.
func copyKey(key crypto.PublicKey) crypto.PublicKey {
	if k, ok := key.(ed25519.PublicKey); ok {
		return slices.Clone(k)
	}
	return key
}
