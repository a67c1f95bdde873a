// Package x509diag explains why crypto/x509 cannot read a certificate or a public
// key.
//
// Callers use it after crypto/x509 has refused an input, or has returned a certificate
// without a public key. The package inspects the outer elements of the DER, in time linear
// in its length. Its result is text for a refusal and never makes an input acceptable. The
// text contains names of algorithms and fields and does not quote the input.
package x509diag

import "crypto/x509"

// Fault is a property that crypto/x509 does not support.
type Fault struct {
	// Description completes the sentence "the certificate has …" or "found …", such as
	// "a key on the curve secp256k1".
	Description string
	// Hint describes how to get a supported certificate, in lower case and without a
	// full stop.
	Hint string
}

const (
	keyHint     = "make an RSA, P-256, P-384, P-521 or Ed25519 key and have the certificate issued over it"
	encodeHint  = "have the certificate issued again by software that follows RFC 5280"
	unknownHint = "openssl x509 -text displays it; " + encodeHint
)

// Unreadable explains why x509.ParseCertificate returned an error for der. The
// result is false if der does not have the outer elements of a certificate, for example if
// it is a certificate request or a private key.
func Unreadable(der []byte) (Fault, bool) {
	o, ok := outlineOf(der)
	if !ok {
		return Fault{}, false
	}
	if f, ok := keyFault(o.spki); ok {
		return f, true
	}
	for _, check := range []func(outline) (Fault, bool){
		outline.serialFault, outline.algorithmFault, outline.nameFault, outline.extensionFault,
	} {
		if f, ok := check(o); ok {
			return f, true
		}
	}
	return Fault{"a field that Go's crypto/x509 does not accept", unknownHint}, true
}

// UnsupportedKey explains why the certificate has no PublicKey: crypto/x509 reads
// certificates whose keys have unknown algorithms. The result is false if the certificate
// has a PublicKey.
func UnsupportedKey(cert *x509.Certificate) (Fault, bool) {
	if cert.PublicKey != nil {
		return Fault{}, false
	}
	if f, ok := PublicKey(cert.RawSubjectPublicKeyInfo); ok {
		return f, true
	}
	return unknownKey(), true
}

// PublicKey explains why crypto/x509 cannot use the DER of a SubjectPublicKeyInfo.
// The result is false if der does not have the outer elements of one, or if its algorithm
// is supported.
func PublicKey(der []byte) (Fault, bool) {
	spki, rest, ok := next(der, tagSequence)
	if !ok || len(rest) > 0 {
		return Fault{}, false
	}
	return keyFault(spki)
}
