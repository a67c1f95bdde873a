package trust

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // to name such a key, which is refused
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // for the names of keys, not to trust anything
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/core/x509diag"
)

// MaxAnchors bounds a keyring, and with it the signatures that one unknown
// certificate can make the gateway check.
const MaxAnchors = 8

// DefaultMinRSABits is the shortest RSA key taken where nobody set a limit, so
// that a forgotten limit is not "any".
const DefaultMinRSABits = 2048

// maxRSABits is the longest RSA key that is used. Verifying a signature takes time
// quadratic in the length of the key: one of 90,000 bits takes 570 ms.
const maxRSABits = 8192

// Anchor is one key that the operator trusts to sign client certificates.
type Anchor struct {
	id        KeyID
	algorithm string
	key       crypto.PublicKey
	// issuer is the CA certificate, or for a bare key a certificate that has
	// nothing but the key; either way what CheckSignatureFrom wants.
	issuer *x509.Certificate
	bare   bool
	// subjectKeyIDs are what certificates may call the key by.
	subjectKeyIDs [][]byte
}

// ID is the anchor's key id.
func (a Anchor) ID() KeyID { return a.id }

// Algorithm is the kind and size of the key in words: "RSA-2048", "P-256",
// "Ed25519".
func (a Anchor) Algorithm() string { return a.algorithm }

// Certificate is the CA certificate, or nil when the anchor is a bare key.
func (a Anchor) Certificate() *x509.Certificate {
	if a.bare {
		return nil
	}
	return a.issuer
}

// Keyring is the set of anchors in force, 1 to [MaxAnchors]. It is immutable.
// Nil and the zero value trust nobody.
type Keyring struct {
	anchors  []Anchor
	warnings []string
}

// Warnings returns what works and is probably not meant, such as a key that is there
// twice. Each names a block and its line, and none quotes the text.
func (k *Keyring) Warnings() []string {
	if k == nil {
		return nil
	}
	return slices.Clone(k.warnings)
}

// Anchors lists the anchors in the order the operator gave them.
func (k *Keyring) Anchors() []Anchor {
	if k == nil {
		return nil
	}
	return append([]Anchor(nil), k.anchors...)
}

// ParseKeyring reads 1 to [MaxAnchors] PEM blocks: "PUBLIC KEY", "RSA PUBLIC
// KEY" or "CERTIFICATE" (a CA's). In .env files, shells and dashboards newlines are
// often lost, so each may be the two characters \n or, in the whole text, a single
// space; or the text is the base64 of the PEM. Between blocks there may be blank
// lines and lines that begin with '#', nothing else: a damaged block is an error,
// never skipped.
//
// RSA keys shorter than minRSABits are refused, and so are keys of more than 8192
// bits; 0 is [DefaultMinRSABits]. Errors name the block and its line and never quote
// the text. A key that is there twice is no error: see [Keyring.Warnings].
func ParseKeyring(text []byte, minRSABits int) (*Keyring, error) {
	normal, err := plainPEM(text)
	if err != nil {
		return nil, err
	}
	blocks, err := splitPEM(normal)
	if err != nil {
		return nil, err
	}
	ring := &Keyring{}
	places := map[KeyID]int{}
	for i, b := range blocks {
		place := fmt.Sprintf("block %d (line %d)", i+1, b.line)
		anchor, err := newAnchor(b.block, minRSABits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if first, again := places[anchor.id]; again {
			ring.warnings = append(ring.warnings, fmt.Sprintf("%s: found the key of block %d again, %s", place, first, ring.effect(anchor)))
			if ring.has(anchor) {
				continue
			}
		} else {
			places[anchor.id] = i + 1
		}
		ring.anchors = append(ring.anchors, anchor)
		if len(ring.anchors) > MaxAnchors {
			return nil, fmt.Errorf("want at most %d keys, found %d or more", MaxAnchors, len(ring.anchors))
		}
	}
	return ring, nil
}

// has reports whether the keyring has the anchor already: the same bare key, or the
// same certificate. A bare key and a CA certificate with that key are two anchors,
// and so are two certificates of one CA, of which one may have expired.
func (k *Keyring) has(anchor Anchor) bool {
	return slices.ContainsFunc(k.anchors, func(a Anchor) bool {
		return a.id == anchor.id && a.bare == anchor.bare && bytes.Equal(a.issuer.Raw, anchor.issuer.Raw)
	})
}

// effect says what it means that a key is there once more.
func (k *Keyring) effect(anchor Anchor) string {
	if k.has(anchor) {
		return "which has no effect"
	}
	return "in another form: what either of them vouches for passes"
}

func newAnchor(b *pem.Block, minRSABits int) (Anchor, error) {
	switch b.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return Anchor{}, unreadableKey(b.Bytes)
		}
		return bareAnchor(key, minRSABits)
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(b.Bytes)
		if err != nil {
			return Anchor{}, errors.New("want an RSA public key in PKCS #1 form, found one that cannot be read")
		}
		return bareAnchor(key, minRSABits)
	case "CERTIFICATE":
		return certificateAnchor(b.Bytes, minRSABits)
	default:
		return Anchor{}, wrongType(b.Type)
	}
}

// unreadableKey explains why crypto/x509 cannot read a SubjectPublicKeyInfo.
func unreadableKey(der []byte) error {
	if fault, ok := x509diag.PublicKey(der); ok {
		return unsupported("a public key", fault)
	}
	return errors.New("want a public key in SubjectPublicKeyInfo form, found one that cannot be read")
}

// unsupported refuses an anchor that is whole and that crypto/x509 cannot use.
func unsupported(kind string, fault x509diag.Fault) error {
	return fmt.Errorf("want %s that Go's crypto/x509 supports, found %s: %s", kind, fault.Found, fault.Remedy)
}

// wrongType names the mistakes that people make and quotes nothing.
func wrongType(pemType string) error {
	switch {
	case strings.Contains(pemType, "PRIVATE KEY"):
		return errors.New("found a PRIVATE key: the gateway must never see the master private key; give its public half (openssl pkey -in master.key -pubout)")
	case strings.HasSuffix(pemType, "CERTIFICATE REQUEST"):
		return errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, found a certificate request, which nobody signed")
	default:
		return errors.New("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, found another type")
	}
}

func bareAnchor(key crypto.PublicKey, minRSABits int) (Anchor, error) {
	a, err := anchorOf(key, minRSABits)
	if err != nil {
		return Anchor{}, err
	}
	a.bare = true
	a.issuer = &x509.Certificate{PublicKey: key, PublicKeyAlgorithm: algorithmOf(key)}
	return a, nil
}

func certificateAnchor(der []byte, minRSABits int) (Anchor, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		if fault, ok := x509diag.Unreadable(der); ok {
			return Anchor{}, unsupported("a certificate", fault)
		}
		return Anchor{}, errors.New("want a certificate, found one that cannot be read")
	}
	if fault, ok := x509diag.UnsupportedKey(cert); ok {
		return Anchor{}, unsupported("a certificate", fault)
	}
	// RFC 5280, section 4.2.1.9: without cA TRUE the key must not be used to
	// verify certificates. A version 1 certificate cannot say so.
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return Anchor{}, errors.New("want a CA certificate (basicConstraints CA:TRUE), found another; to trust its key all the same, give the bare key (openssl x509 -in FILE -noout -pubkey)")
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
	a, err := anchorOf(cert.PublicKey, minRSABits)
	if err != nil {
		return Anchor{}, err
	}
	a.issuer = cert
	a.subjectKeyIDs = append(a.subjectKeyIDs, cert.SubjectKeyId)
	return a, nil
}

// anchorOf checks the key and fills in what bare keys and certificates share.
func anchorOf(key crypto.PublicKey, minRSABits int) (Anchor, error) {
	if err := checkKey(key, minRSABits); err != nil {
		return Anchor{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Anchor{}, errors.New("want a key that can be written as SubjectPublicKeyInfo")
	}
	return Anchor{id: sha256.Sum256(spki), algorithm: DescribeKey(key), key: key, subjectKeyIDs: usualKeyIDs(spki)}, nil
}

// usualKeyIDs are the subject key identifiers that issuers compute from a key:
// its SHA-1 (RFC 5280, section 4.2.1.2) and its truncated SHA-256 (RFC 7093,
// section 2). They are names here, no proof of anything.
func usualKeyIDs(spki []byte) [][]byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil // only the order of trying suffers
	}
	one, two := sha1.Sum(info.Key.Bytes), sha256.Sum256(info.Key.Bytes) //nolint:gosec // a name, see above
	return [][]byte{one[:], two[:20]}
}

// owns reports whether key is the anchor's own.
func (a Anchor) owns(key crypto.PublicKey) bool {
	k, ok := a.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(key)
}

// checkKey refuses keys that are weak or too expensive to use, for anchors,
// intermediates and clients alike.
func checkKey(key crypto.PublicKey, minRSABits int) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(k, minRSABits)
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("want P-256, P-384 or P-521, found %s", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	default:
		return fmt.Errorf("want an RSA, ECDSA or Ed25519 key, found %s", DescribeKey(key))
	}
}

func checkRSA(key *rsa.PublicKey, minBits int) error {
	if minBits <= 0 {
		minBits = DefaultMinRSABits
	}
	if n := key.N.BitLen(); n < minBits {
		return fmt.Errorf("want an RSA key of at least %d bits, found %d", minBits, n)
	}
	if n := key.N.BitLen(); n > maxRSABits {
		return fmt.Errorf("want an RSA key of at most %d bits, found %d", maxRSABits, n)
	}
	// An even or tiny exponent makes signatures forgeable.
	if key.E < 3 || key.E%2 == 0 {
		return fmt.Errorf("want an odd RSA exponent of at least 3, found %d", key.E)
	}
	return nil
}

// DescribeKey names the kind and size of a public key: "RSA-2048", "P-256",
// "Ed25519". Nil is the key of a certificate whose algorithm crypto/x509 does not
// know.
func DescribeKey(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA-" + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdh.PublicKey:
		return "X25519"
	case *dsa.PublicKey:
		return "DSA"
	case nil:
		return "an unsupported one"
	default:
		return fmt.Sprintf("%T", key)
	}
}

func algorithmOf(key crypto.PublicKey) x509.PublicKeyAlgorithm {
	switch key.(type) {
	case *rsa.PublicKey:
		return x509.RSA
	case *ecdsa.PublicKey:
		return x509.ECDSA
	case ed25519.PublicKey:
		return x509.Ed25519
	default:
		return x509.UnknownPublicKeyAlgorithm
	}
}
