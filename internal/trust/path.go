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

	"github.com/certgate/certgate/internal/denial"
)

// maxIntermediates bounds a path; with the client's certificate it is 4 long.
const maxIntermediates = 3

// path leads from an anchor to a client's certificate: whom to believe because
// of whom.
type path struct {
	anchor Anchor
	// intermediates stand between the two, the client's issuer first.
	intermediates []*x509.Certificate
}

// issuer is the key that signed the client's certificate (0), its issuer's (1),
// and so on.
func (p path) issuer(i int) KeyID {
	if i < len(p.intermediates) {
		return keyIDOf(p.intermediates[i])
	}
	return p.anchor.id
}

// findPath asks each anchor whether it vouches for the certificate, first those
// that the certificate names as its issuer's key (RFC 5280, section 4.2.1.1).
// The name is a hint: it decides the order and nothing else.
func (v *Verifier) findPath(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (path, error) {
	if v.keyring == nil || len(v.keyring.anchors) == 0 {
		return path{}, denial.New(denial.CertificateUntrusted, "the keyring is empty")
	}
	var why error
	for _, named := range []bool{true, false} {
		for _, a := range v.keyring.anchors {
			if a.named(leaf.AuthorityKeyId) != named {
				continue
			}
			p, err := v.from(a, leaf, intermediates, now)
			if err == nil {
				return p, nil
			}
			// A reason tells more than "not this one" does.
			if why == nil && denial.Of(err) != nil {
				why = err
			}
		}
	}
	if d := denial.Of(why); d != nil {
		return path{}, d
	}
	return path{}, denial.New(denial.CertificateUntrusted,
		"no key in force vouches for it; issuer %.200q", leaf.Issuer.String())
}

// from asks one anchor. A bare key vouches for what it signed itself; a CA
// certificate for whatever a path of RFC 5280, section 6.1 leads to.
func (v *Verifier) from(a Anchor, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (path, error) {
	if a.bare {
		if !couldSign(a.key, leaf) || leaf.CheckSignatureFrom(a.issuer) != nil {
			return path{}, errNotThisOne
		}
		return path{anchor: a}, nil
	}
	// The anchor's own certificate is public, and x509.Verify takes a root for a
	// whole path.
	if bytes.Equal(leaf.Raw, a.issuer.Raw) {
		return path{}, errAuthority()
	}
	signed, err := descend(a.issuer, leaf, intermediates)
	if err != nil {
		return path{}, err
	}
	chain, err := v.buildChain(a.issuer, leaf, signed, now)
	if err != nil {
		return path{}, explain(err, a.issuer, leaf)
	}
	p := path{anchor: a, intermediates: chain[1 : len(chain)-1]}
	for _, c := range p.intermediates {
		if err := checkKey(c.PublicKey, v.limits.MinRSABits); err != nil {
			return path{}, denial.New(denial.CertificateWeak, "the key of the intermediate %.200q: %v", c.Subject.String(), err)
		}
	}
	return p, nil
}

// errNotThisOne says that another anchor may still vouch.
var errNotThisOne = errors.New("not signed by this anchor")

// descend are those intermediates that the CA signed, directly or through each
// other; it refuses when the client's certificate is not below them.
//
// x509.Verify climbs from the client's certificate and believes, until it
// arrives, whatever names and keys a stranger put into it: up to 100 signatures
// for each anchor, by keys as large as fit a header. Going down from the CA, no
// key is used before the CA vouches for it, and a stranger's certificates cost
// one signature each.
func descend(ca, leaf *x509.Certificate, intermediates []*x509.Certificate) ([]*x509.Certificate, error) {
	if len(intermediates) == 0 {
		if !bytes.Equal(leaf.RawIssuer, ca.RawSubject) || !couldSign(ca.PublicKey, leaf) {
			return nil, errNotThisOne
		}
		return nil, nil // one signature, whoever checks it
	}
	var signed []*x509.Certificate
	var weak error
	unsigned := append([]*x509.Certificate{leaf}, intermediates...)
	for issuers := []*x509.Certificate{ca}; len(issuers) > 0; issuers = issuers[1:] {
		unsigned = slices.DeleteFunc(unsigned, func(c *x509.Certificate) bool {
			err := signedBy(issuers[0], c)
			if denial.Of(err) != nil {
				weak = err
			}
			if err == nil {
				signed = append(signed, c)
			}
			if err == nil && mayIssue(c) {
				issuers = append(issuers, c)
			}
			return err == nil
		})
	}
	switch {
	case slices.Contains(signed, leaf):
		return slices.DeleteFunc(signed, func(c *x509.Certificate) bool { return c == leaf }), nil
	case weak != nil:
		return nil, weak
	default:
		return nil, errNotThisOne
	}
}

// signedBy refuses with a reason only a signature that could not prove anything;
// a root's own does not have to.
func signedBy(issuer, c *x509.Certificate) error {
	if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		return errNotThisOne
	}
	if err := checkSignatureAlgorithm(c); err != nil && !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return denial.New(denial.CertificateWeak, "the certificate %.200q: %s", c.Subject.String(), denial.Of(err).Detail)
	}
	if !couldSign(issuer.PublicKey, c) || c.CheckSignatureFrom(issuer) != nil {
		return errNotThisOne
	}
	return nil
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

// mayIssue reports whether a certificate says that its key may sign others
// (RFC 5280, sections 4.2.1.9 and 4.2.1.3).
func mayIssue(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA &&
		(c.KeyUsage&x509.KeyUsageCertSign != 0 || !hasExtension(c, oidKeyUsage))
}

// buildChain lets the standard library find and check the path: signatures,
// names, periods, basicConstraints, pathLenConstraint, keyUsage, extended key
// usage and name constraints. The client's own period and purposes are asked
// later, with reasons of their own, so the path is checked at a moment when the
// client's certificate is in time.
func (v *Verifier) buildChain(ca, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	probe := v.lenient(leaf)
	probe.UnhandledCriticalExtensions = nil // asked later, too
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(v.lenient(ca))
	for _, c := range intermediates {
		between.AddCert(v.lenient(c))
	}
	chains, err := probe.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: within(now, probe),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// lenient is the certificate with the clock skew added to its period, since
// x509.Verify knows no leeway. What was signed is untouched.
func (v *Verifier) lenient(cert *x509.Certificate) *x509.Certificate {
	wide := *cert
	wide.NotBefore = cert.NotBefore.Add(-v.limits.ClockSkew)
	wide.NotAfter = cert.NotAfter.Add(v.limits.ClockSkew)
	return &wide
}

// within moves a time into the certificate's validity period.
func within(at time.Time, cert *x509.Certificate) time.Time {
	switch {
	case at.Before(cert.NotBefore):
		return cert.NotBefore
	case at.After(cert.NotAfter):
		return cert.NotAfter
	default:
		return at
	}
}

// explain gives the standard library's refusal a reason. What it says of another
// issuer than ours is only "not this one".
func explain(err error, ca, leaf *x509.Certificate) error {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return errNotThisOne
	}
	reason := denial.CertificateUntrusted
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.IncompatibleUsage {
		reason = denial.CertificateUnsuitable
	}
	return denial.New(reason, "the CA %.200q does not vouch for %.200q: %.300v", ca.Subject.String(), leaf.Subject.String(), err)
}

// named reports whether a certificate's authority key identifier names the
// anchor.
func (a Anchor) named(authorityKeyID []byte) bool {
	return len(authorityKeyID) > 0 && slices.ContainsFunc(a.subjectKeyIDs, func(id []byte) bool { return bytes.Equal(id, authorityKeyID) })
}
