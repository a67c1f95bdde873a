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

// maxFailedSignatures bounds the signatures that fail in one search for a path.
// An anchor costs one for each certificate that names it as its issuer, so eight
// anchors of one name and a chain of four forged certificates would cost 32. A
// chain that an anchor signed needs one for each other anchor of the same name, and
// one more for each self-signed or cross-signed certificate sent along.
const maxFailedSignatures = 2 * MaxAnchors

// search looks for a path to one client's certificate.
type search struct {
	*Verifier

	leaf          *x509.Certificate
	intermediates []*x509.Certificate
	now           time.Time
	// failed counts the signatures that no key of the path made.
	failed int
	// weakSignature is the first certificate whose signature algorithm proves
	// nothing.
	weakSignature *x509.Certificate
	// weakKey is the refusal of the first intermediate that a CA signed and whose key
	// must not be used.
	weakKey error
}

// findPath asks each anchor whether it vouches for the certificate, first those
// that the certificate names as its issuer's key (RFC 5280, section 4.2.1.1).
// The name is a hint: it decides the order and nothing else.
func (v *Verifier) findPath(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (path, error) {
	if v.keyring == nil || len(v.keyring.anchors) == 0 {
		return path{}, refusal.New(refusal.CertificateUntrusted, "the keyring is empty")
	}
	s := &search{Verifier: v, leaf: leaf, intermediates: intermediates, now: now}
	var why error
	for _, named := range []bool{true, false} {
		for _, a := range v.keyring.anchors {
			if a.named(leaf.AuthorityKeyId) != named {
				continue
			}
			p, err := s.from(a)
			if err == nil {
				return p, nil
			}
			// A reason tells more than "not this one" does.
			if why == nil && refusal.Of(err) != nil {
				why = err
			}
		}
	}
	if why != nil {
		return path{}, why
	}
	return path{}, s.refusal()
}

// refusal says why no anchor vouches for the certificate.
func (s *search) refusal() error {
	if c := s.weakSignature; c != nil {
		return refusal.New(refusal.CertificateWeak, "the certificate %.200q: %s", SubjectText(c), refusal.Of(checkSignatureAlgorithm(c)).Detail)
	}
	if s.weakKey != nil {
		return s.weakKey
	}
	if s.failed >= maxFailedSignatures {
		return refusal.New(refusal.CertificateUntrusted, "no key in force vouches for it, and the search ended after %d signatures; issuer %.200q", s.failed, IssuerText(s.leaf))
	}
	return refusal.New(refusal.CertificateUntrusted, "no key in force vouches for it; issuer %.200q", IssuerText(s.leaf))
}

// from asks one anchor. A bare key vouches for what it signed itself; a CA
// certificate for whatever a path of RFC 5280, section 6.1 leads to.
func (s *search) from(a Anchor) (path, error) {
	if a.bare {
		if !couldSign(a.key, s.leaf) || s.leaf.CheckSignatureFrom(a.issuer) != nil {
			return path{}, errNotThisOne
		}
		return path{anchor: a}, nil
	}
	// The anchor's own certificate is public, and x509.Verify takes a root for a
	// whole path.
	if bytes.Equal(s.leaf.Raw, a.issuer.Raw) {
		return path{}, errAuthority(s.leaf)
	}
	signed, err := s.descend(a.issuer)
	if err != nil {
		return path{}, err
	}
	chain, err := s.buildChain(a.issuer, s.leaf, signed, s.now)
	if err != nil {
		return path{}, explain(err, a.issuer, s.leaf)
	}
	return path{anchor: a, intermediates: chain[1 : len(chain)-1]}, nil
}

// errNotThisOne says that another anchor may still vouch.
var errNotThisOne = errors.New("not signed by this anchor")

// descend returns those intermediates that the CA signed, directly or through each
// other. It refuses when the client's certificate is not below them.
//
// x509.Verify climbs from the client's certificate and believes, until it arrives
// at a root, every name and key that a stranger put into the certificates: up to
// 100 signatures for each anchor, by keys as large as fit a header. Going down from
// the CA, no key is used before the CA vouches for it, and a stranger's certificates
// cost one signature each.
func (s *search) descend(ca *x509.Certificate) ([]*x509.Certificate, error) {
	if len(s.intermediates) == 0 {
		if !bytes.Equal(s.leaf.RawIssuer, ca.RawSubject) || !couldSign(ca.PublicKey, s.leaf) {
			return nil, errNotThisOne
		}
		return nil, nil // buildChain verifies the only signature
	}
	var below []*x509.Certificate
	found := false
	unsigned := append([]*x509.Certificate{s.leaf}, s.intermediates...)
	for issuers := []*x509.Certificate{ca}; len(issuers) > 0; issuers = issuers[1:] {
		unsigned = slices.DeleteFunc(unsigned, func(c *x509.Certificate) bool {
			if !s.signedBy(issuers[0], c) {
				return false
			}
			if c == s.leaf {
				found = true
			} else if s.mayIssue(c) {
				issuers, below = append(issuers, c), append(below, c)
			}
			return true
		})
	}
	if !found {
		return nil, errNotThisOne
	}
	return below, nil
}

// signedBy reports whether the issuer signed c. It notes a signature that could
// prove nothing; a root's own signature does not have to.
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
	if !couldSign(issuer.PublicKey, c) || s.failed >= maxFailedSignatures {
		return false
	}
	if c.CheckSignatureFrom(issuer) != nil {
		s.failed++
		return false
	}
	return true
}

// couldSign reports whether the signature is as long as the key's are. A forgery
// that is not costs no public key operation and no chain: crypto/rsa would set up
// the key's arithmetic before it looks at the length. It proves nothing.
func couldSign(key crypto.PublicKey, c *x509.Certificate) bool {
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

// mayIssue reports whether the key of a certificate that a CA signed may verify
// others: the certificate says so (RFC 5280, sections 4.2.1.9 and 4.2.1.3), and the
// key is neither weak nor so large that each signature takes half a second. The key
// is not used before.
func (s *search) mayIssue(c *x509.Certificate) bool {
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

// named reports whether a certificate's authority key identifier names the
// anchor.
func (a Anchor) named(authorityKeyID []byte) bool {
	return len(authorityKeyID) > 0 && slices.ContainsFunc(a.subjectKeyIDs, func(id []byte) bool { return bytes.Equal(id, authorityKeyID) })
}
