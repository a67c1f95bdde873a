package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
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
// usage and name constraints, except those on directory names, which are checked
// here. The client's own period and purposes are checked later, with reasons of
// their own, so the path is checked at a moment when the client's certificate is in
// time.
func (v *Verifier) buildChain(ca, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	probe := v.lenient(leaf)
	probe.UnhandledCriticalExtensions = nil // checked later, too
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(v.lenientIssuer(ca))
	for _, c := range intermediates {
		between.AddCert(v.lenientIssuer(c))
	}
	chains, err := probe.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: within(now, probe),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if err = checkDirectoryNames(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// lenientIssuer is lenient for a CA whose name constraints are evaluated:
// crypto/x509 takes a critical directoryName constraint for an unknown extension.
func (v *Verifier) lenientIssuer(ca *x509.Certificate) *x509.Certificate {
	wide := v.lenient(ca)
	wide.UnhandledCriticalExtensions = unknownCritical(ca)
	return wide
}

// unknownCritical returns the critical extensions of a CA that are evaluated neither
// by crypto/x509 nor by this package.
func unknownCritical(ca *x509.Certificate) []asn1.ObjectIdentifier {
	return slices.DeleteFunc(slices.Clone(ca.UnhandledCriticalExtensions), oidNameConstraints.Equal)
}

// lenient returns a copy for x509.Verify with the clock skew added to the validity
// period, because x509.Verify has no leeway. What was signed is untouched.
func (v *Verifier) lenient(cert *x509.Certificate) *x509.Certificate {
	wide := *cert
	addSubjectEmail(&wide)
	wide.NotBefore = cert.NotBefore.Add(-v.limits.ClockSkew)
	wide.NotAfter = cert.NotAfter.Add(v.limits.ClockSkew)
	return &wide
}

// RFC 5280, section 4.1.2.6.
var oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

// addSubjectEmail gives a certificate without subject alternative names one for each
// emailAddress of its subject: name constraints on email addresses apply to these as
// well (RFC 5280, section 4.2.1.10), and crypto/x509 looks at alternative names only.
func addSubjectEmail(cert *x509.Certificate) {
	if hasExtension(cert, oidSubjectAltName) {
		return
	}
	var addresses []string
	for _, name := range cert.Subject.Names {
		if address, ok := name.Value.(string); ok && name.Type.Equal(oidEmailAddress) {
			addresses = append(addresses, address)
		}
	}
	if addresses != nil {
		cert.EmailAddresses = addresses
		cert.Extensions = append(slices.Clone(cert.Extensions), pkix.Extension{Id: oidSubjectAltName, Value: emptySequence()})
	}
}

func emptySequence() []byte { return []byte{0x30, 0} }

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
	reason := refusal.CertificateUntrusted
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.IncompatibleUsage {
		reason = refusal.CertificateUnsuitable
	}
	return refusal.New(reason, "the CA %.200q does not vouch for %.200q: %.300v", SubjectText(ca), SubjectText(leaf), err)
}
