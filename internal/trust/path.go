package trust

import (
	"bytes"
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
	// issued is the certificate that the anchor itself signed: the client's, or
	// the topmost intermediate.
	issued *x509.Certificate
	// intermediates stand between the two, the client's issuer first.
	intermediates []*x509.Certificate
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
			if why == nil {
				why = err
			}
		}
	}
	if d := denial.Of(why); d != nil {
		return path{}, d
	}
	return path{}, denial.New(denial.CertificateUntrusted,
		"none of the %d keys in force vouches for it; issuer %.200q", len(v.keyring.anchors), leaf.Issuer.String())
}

// from asks one anchor. A bare key vouches for what it signed itself; a CA
// certificate for whatever a path of RFC 5280, section 6.1 leads to.
func (v *Verifier) from(a Anchor, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (path, error) {
	if a.bare {
		if err := leaf.CheckSignatureFrom(a.issuer); err != nil {
			return path{}, errNotThisOne
		}
		return path{anchor: a, issued: leaf}, nil
	}
	if len(intermediates) == 0 && !bytes.Equal(leaf.RawIssuer, a.issuer.RawSubject) {
		return path{}, errNotThisOne
	}
	chain, err := v.buildChain(a.issuer, leaf, intermediates, now)
	if err != nil {
		return path{}, explain(err, a.issuer, leaf)
	}
	between := chain[1 : len(chain)-1]
	p := path{anchor: a, issued: chain[len(chain)-2], intermediates: between}
	for _, c := range between {
		if err := checkKey(c.PublicKey, v.limits.MinRSABits); err != nil {
			return path{}, denial.New(denial.CertificateWeak, "the key of the intermediate %.200q: %v", c.Subject.String(), err)
		}
	}
	return p, nil
}

// errNotThisOne says that another anchor may still vouch.
var errNotThisOne = errors.New("not signed by this anchor")

// buildChain lets the standard library find and check the path: signatures,
// names, basicConstraints, pathLenConstraint, keyUsage, extended key usage and
// name constraints. The client's own period and purposes are asked later, with
// reasons of their own, so the path is checked at a moment when the client's
// certificate is in time.
func (v *Verifier) buildChain(ca, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	probe := *leaf
	probe.UnhandledCriticalExtensions = nil // asked later, too
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range intermediates {
		between.AddCert(c)
	}
	var chains [][]*x509.Certificate
	var err error
	for _, at := range []time.Time{now, now.Add(-v.limits.ClockSkew), now.Add(v.limits.ClockSkew)} {
		chains, err = probe.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: within(at, leaf),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return chains[0], nil
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
