package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// moreFailedSignatures is the number of failed signature checks, in addition to one for
// each anchor, after which one search for a path ends. Each anchor is tried for each
// certificate that names it as issuer, so eight anchors with one name and a chain of four
// forged certificates would cost 32 checks. A genuine chain fails once for each other anchor
// of the same name, and once more if a cross-signed certificate is sent with it. Roots of
// the keyring are not counted, see withoutRoots.
const moreFailedSignatures = 1

// search finds a path from an anchor to one client certificate.
type search struct {
	*Verifier

	leaf          *x509.Certificate
	intermediates []*x509.Certificate
	now           time.Time
	// failed counts the failed signature checks.
	failed int
	// weakSignature is the first certificate with a weak signature algorithm, or nil.
	weakSignature *x509.Certificate
	// weakKey is the refusal of the first intermediate that a CA signed and whose key
	// is too weak or too large, or nil.
	weakKey error
}

// findPath tries each anchor and returns the first path. Anchors that match the
// certificate's authority key identifier (RFC 5280, section 4.2.1.1) are tried first.
// The identifier affects the order only.
func (v *Verifier) findPath(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (path, error) {
	if v.keyring == nil || len(v.keyring.anchors) == 0 {
		return path{}, refusal.New(refusal.CertificateUntrusted, "the keyring is empty")
	}
	s := &search{Verifier: v, leaf: leaf, intermediates: v.keyring.withoutRoots(intermediates), now: now}
	var first error
	for _, named := range []bool{true, false} {
		for _, a := range v.keyring.anchors {
			if a.isNamedBy(leaf.AuthorityKeyId) != named {
				continue
			}
			p, err := s.pathFrom(a)
			if err == nil {
				return p, nil
			}
			// errOtherAnchor is not a refusal and explains nothing.
			if first == nil && refusal.Of(err) != nil {
				first = err
			}
		}
	}
	if first != nil {
		return path{}, first
	}
	return path{}, s.untrusted()
}

// withoutRoots returns the certificates except the self-issued ones of the keyring. Many
// clients send the root with the chain. No path needs it as an intermediate, and its
// signature would fail once for each other anchor of the same name.
func (k *Keyring) withoutRoots(certificates []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(certificates), func(c *x509.Certificate) bool {
		return slices.ContainsFunc(k.anchors, func(a Anchor) bool {
			return !a.bare && bytes.Equal(a.issuer.Raw, c.Raw) && bytes.Equal(c.RawIssuer, c.RawSubject)
		})
	})
}

// untrusted returns the refusal of a certificate to which no path was found.
func (s *search) untrusted() error {
	if c := s.weakSignature; c != nil {
		return refusal.New(refusal.CertificateWeak, "the certificate %.200q: %s", SubjectText(c), refusal.Of(checkSignatureAlgorithm(c)).Detail)
	}
	if s.weakKey != nil {
		return s.weakKey
	}
	if s.isExhausted() {
		return refusal.New(refusal.CertificateUntrusted, "no anchor signed it, and the search ended after %d failed signatures; issuer %.200q", s.failed, IssuerText(s.leaf))
	}
	return refusal.New(refusal.CertificateUntrusted, "no anchor signed it; issuer %.200q", IssuerText(s.leaf))
}

// isExhausted reports whether too many signature checks have failed.
func (s *search) isExhausted() bool {
	return s.failed >= len(s.keyring.anchors)+moreFailedSignatures
}

// pathFrom returns the path from one anchor. A bare key must have signed the client's
// certificate itself. A CA certificate may be followed by intermediates (RFC 5280,
// section 6.1).
func (s *search) pathFrom(a Anchor) (path, error) {
	if a.bare {
		if !hasPossibleLength(a.key, s.leaf) || s.leaf.CheckSignatureFrom(a.issuer) != nil {
			return path{}, errOtherAnchor
		}
		return path{anchor: a}, nil
	}
	// The anchor's certificate is public, and x509.Verify accepts a root as a complete
	// path.
	if bytes.Equal(s.leaf.Raw, a.issuer.Raw) {
		return path{}, refuseCA(s.leaf)
	}
	signed, err := s.descend(a.issuer)
	if err != nil {
		return path{}, err
	}
	chain, err := s.buildChain(a.issuer, s.leaf, signed, s.now)
	if err != nil {
		return path{}, chainRefusal(err, a.issuer, s.leaf)
	}
	return path{anchor: a, intermediates: chain[1 : len(chain)-1]}, nil
}

// errOtherAnchor means that another anchor may have signed the certificate.
var errOtherAnchor = errors.New("not signed by this anchor")

// descend returns the intermediates that the CA signed, directly or through other
// intermediates. It returns errOtherAnchor if the client's certificate is not below them.
//
// x509.Verify starts at the client's certificate and uses every name and key in the
// certificates that the client sent until it reaches a root: up to 100 signature checks
// for each anchor, with keys as large as a header allows. The search from the CA downward
// uses no key that the CA has not signed, and checks each forged certificate once.
func (s *search) descend(ca *x509.Certificate) ([]*x509.Certificate, error) {
	if len(s.intermediates) == 0 {
		if !bytes.Equal(s.leaf.RawIssuer, ca.RawSubject) || !hasPossibleLength(ca.PublicKey, s.leaf) {
			return nil, errOtherAnchor
		}
		return nil, nil // buildChain verifies the only signature
	}
	var below []*x509.Certificate
	leafFound := false
	unsigned := append([]*x509.Certificate{s.leaf}, s.intermediates...)
	for issuers := []*x509.Certificate{ca}; len(issuers) > 0; issuers = issuers[1:] {
		unsigned = slices.DeleteFunc(unsigned, func(c *x509.Certificate) bool {
			if !s.signedBy(issuers[0], c) {
				return false
			}
			if c == s.leaf {
				leafFound = true
			} else if s.isUsableIssuer(c) {
				issuers, below = append(issuers, c), append(below, c)
			}
			return true
		})
	}
	if !leafFound {
		return nil, errOtherAnchor
	}
	return below, nil
}

// signedBy reports whether the issuer signed c. It records the first weak signature,
// except on a self-issued certificate, whose signature no path needs.
func (s *search) signedBy(issuer, c *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		return false
	}
	if !hasStrongSignature(c) && !bytes.Equal(c.RawIssuer, c.RawSubject) {
		if s.weakSignature == nil {
			s.weakSignature = c
		}
		return false
	}
	if !hasPossibleLength(issuer.PublicKey, c) || s.isExhausted() {
		return false
	}
	if c.CheckSignatureFrom(issuer) != nil {
		s.failed++
		return false
	}
	return true
}

// hasPossibleLength reports whether the signature of c has a length that the key can
// produce. It saves a public key operation for forgeries of another length: crypto/rsa
// precomputes values of the key before it checks the length. It does not verify anything.
func hasPossibleLength(key crypto.PublicKey, c *x509.Certificate) bool {
	switch k := key.(type) {
	case *rsa.PublicKey: // RFC 8017, section 8.2.2, step 1
		return len(c.Signature) == k.Size()
	case *ecdsa.PublicKey: // a SEQUENCE of two INTEGERs (RFC 3279, section 2.2.3)
		const header = 3
		integer := (k.Curve.Params().BitSize+7)/8 + 1 + header
		return len(c.Signature) <= 2*integer+header
	case ed25519.PublicKey: // RFC 8032, section 5.1.7
		return len(c.Signature) == ed25519.SignatureSize
	default:
		return false
	}
}

// isUsableIssuer reports whether the key of an intermediate may be used to verify other
// certificates. The certificate must allow it (RFC 5280, sections 4.2.1.9 and 4.2.1.3),
// and the key must be neither weak nor so large that each check takes half a second.
func (s *search) isUsableIssuer(c *x509.Certificate) bool {
	if !isIssuer(c) {
		return false
	}
	err := checkKey(c.PublicKey, s.limits.MinRSABits)
	if err != nil && s.weakKey == nil {
		s.weakKey = refusal.New(refusal.CertificateWeak, "the key of the intermediate %.200q: %v", SubjectText(c), err)
	}
	return err == nil
}

func isIssuer(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA &&
		(c.KeyUsage&x509.KeyUsageCertSign != 0 || !hasExtension(c, oidKeyUsage))
}

// isNamedBy reports whether the authority key identifier of a certificate identifies
// the anchor.
func (a Anchor) isNamedBy(authorityKeyID []byte) bool {
	return len(authorityKeyID) > 0 && slices.ContainsFunc(a.subjectKeyIDs, func(id []byte) bool { return bytes.Equal(id, authorityKeyID) })
}
