package trust

import (
	"crypto"
	"crypto/sha1" //nolint:gosec // for key identifiers, which prove nothing
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/x509diag"
)

// Anchor is one key that the operator trusts to sign client certificates.
type Anchor struct {
	id        KeyID
	algorithm string
	key       crypto.PublicKey
	// issuer is the CA certificate. For a bare key it is a certificate with the key and
	// no other field, because CheckSignatureFrom takes a certificate.
	issuer *x509.Certificate
	bare   bool
	// subjectKeyIDs are the identifiers that certificates may use for the key.
	subjectKeyIDs [][]byte
}

// ID returns the id of the anchor's key.
func (a Anchor) ID() KeyID { return a.id }

// Algorithm returns the algorithm and size of the key, such as "RSA-2048", "P-256" or
// "Ed25519".
func (a Anchor) Algorithm() string { return a.algorithm }

// Certificate returns the CA certificate, or nil if the anchor is a bare key.
func (a Anchor) Certificate() *x509.Certificate {
	if a.bare {
		return nil
	}
	return a.issuer
}

func newAnchor(b *pem.Block, minRSABits int) (Anchor, error) {
	switch b.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return Anchor{}, unreadableKeyError(b.Bytes)
		}
		return anchorFromPublicKey(key, minRSABits)
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(b.Bytes)
		if err != nil {
			return Anchor{}, errors.New("want an RSA public key in PKCS #1 form, found one that cannot be read")
		}
		return anchorFromPublicKey(key, minRSABits)
	case "CERTIFICATE":
		return anchorFromCertificate(b.Bytes, minRSABits)
	default:
		return Anchor{}, wrongTypeError(b.Type)
	}
}

// unreadableKeyError explains why crypto/x509 cannot read a SubjectPublicKeyInfo.
func unreadableKeyError(der []byte) error {
	if fault, ok := x509diag.PublicKey(der); ok {
		return unsupportedError("a public key", fault)
	}
	return errors.New("want a public key in SubjectPublicKeyInfo form, found one that cannot be read")
}

// unsupportedError returns the error for an anchor that is complete and that crypto/x509
// cannot use.
func unsupportedError(kind string, fault x509diag.Fault) error {
	return fmt.Errorf("want %s that Go's crypto/x509 supports, found %s: %s", kind, fault.Description, fault.Hint)
}

// wrongTypeError names frequent mistakes and does not quote the type.
func wrongTypeError(pemType string) error {
	switch {
	case strings.Contains(pemType, "PRIVATE KEY"):
		return errors.New("found a PRIVATE key: the gateway must never have the master private key; configure its public key (openssl pkey -in master.key -pubout)")
	case strings.HasSuffix(pemType, "CERTIFICATE REQUEST"):
		return errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, found a certificate request, which is not signed by a CA")
	default:
		return errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, found another type")
	}
}

func anchorFromPublicKey(key crypto.PublicKey, minRSABits int) (Anchor, error) {
	a, err := anchorFromKey(key, minRSABits)
	if err != nil {
		return Anchor{}, err
	}
	a.bare = true
	a.issuer = &x509.Certificate{PublicKey: key, PublicKeyAlgorithm: algorithmOf(key)}
	return a, nil
}

func anchorFromCertificate(der []byte, minRSABits int) (Anchor, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		if fault, ok := x509diag.Unreadable(der); ok {
			return Anchor{}, unsupportedError("a certificate", fault)
		}
		return Anchor{}, errors.New("want a certificate, found one that cannot be read")
	}
	if fault, ok := x509diag.UnsupportedKey(cert); ok {
		return Anchor{}, unsupportedError("a certificate", fault)
	}
	// RFC 5280, section 4.2.1.9: without cA TRUE the key must not be used to
	// verify certificates. A version 1 certificate has no basicConstraints.
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return Anchor{}, errors.New("want a CA certificate (basicConstraints CA:TRUE), found another; to trust its key anyway, configure the bare key (openssl x509 -in FILE -noout -pubkey)")
	}
	// Section 4.2.1.3: keyCertSign must be asserted where keyUsage is present.
	if hasExtension(cert, oidKeyUsage) && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return Anchor{}, errors.New("want a CA certificate whose keyUsage allows keyCertSign, found one that does not")
	}
	if _, err := constraintsOf(cert); err != nil {
		return Anchor{}, err
	}
	if unknown := unknownCritical(cert); len(unknown) > 0 {
		return Anchor{}, fmt.Errorf("want a CA certificate without unknown critical extensions, found %s", extensionNames(unknown))
	}
	a, err := anchorFromKey(cert.PublicKey, minRSABits)
	if err != nil {
		return Anchor{}, err
	}
	a.issuer = cert
	a.subjectKeyIDs = append(a.subjectKeyIDs, cert.SubjectKeyId)
	return a, nil
}

// anchorFromKey checks the key and sets the fields that bare keys and certificates share.
func anchorFromKey(key crypto.PublicKey, minRSABits int) (Anchor, error) {
	if err := checkKey(key, minRSABits); err != nil {
		return Anchor{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Anchor{}, errors.New("want a key that can be encoded as SubjectPublicKeyInfo")
	}
	return Anchor{id: sha256.Sum256(spki), algorithm: DescribeKey(key), key: key, subjectKeyIDs: standardKeyIDs(spki)}, nil
}

// standardKeyIDs returns the subject key identifiers that issuers compute from a key:
// its SHA-1 (RFC 5280, section 4.2.1.2) and its truncated SHA-256 (RFC 7093,
// section 2). They affect only the order in which anchors are tried.
func standardKeyIDs(spki []byte) [][]byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil // affects the order of the anchors only
	}
	sha1Sum, sha256Sum := sha1.Sum(info.Key.Bytes), sha256.Sum256(info.Key.Bytes) //nolint:gosec // an identifier, see above
	return [][]byte{sha1Sum[:], sha256Sum[:20]}
}

// hasKey reports whether key is the anchor's key.
func (a Anchor) hasKey(key crypto.PublicKey) bool {
	k, ok := a.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(key)
}
