package trust

import (
	"crypto/x509"
	"errors"
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
	return denial.New(reason, "the CA %.200q does not vouch for %.200q: %.300v", SubjectText(ca), SubjectText(leaf), err)
}
