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

// maxIntermediates is the maximum number of intermediates, so that a path below the
// anchor has up to four certificates.
const maxIntermediates = 3

// path is the sequence of issuers of a client's certificate.
type path struct {
	anchor Anchor
	// intermediates are in the order from the client's issuer to the anchor.
	intermediates []*x509.Certificate
}

// issuer returns the id of the key that signed a certificate of the path: the client's
// certificate for i = 0, the first intermediate for i = 1, and so on.
func (p path) issuer(i int) KeyID {
	if i < len(p.intermediates) {
		return keyIDOf(p.intermediates[i])
	}
	return p.anchor.id
}

// issuers returns the ids of the keys that signed the certificates of the path, from the
// client's issuer to the anchor.
func (p path) issuers() []KeyID {
	ids := make([]KeyID, len(p.intermediates)+1)
	for i := range ids {
		ids[i] = p.issuer(i)
	}
	return ids
}

// buildChain finds and checks the path with crypto/x509: signatures, names, validity
// periods, basicConstraints, pathLenConstraint, keyUsage, extended key usage and name
// constraints. crypto/x509 does not evaluate constraints on directory names, and permits
// too many hosts, so buildChain checks these constraints itself. The validity period and
// purposes of the client's certificate are checked later and have their own reasons; the
// path is therefore checked at a time inside that period.
func (v *Verifier) buildChain(ca, leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	leafCopy := v.withSkew(leaf)
	leafCopy.UnhandledCriticalExtensions = nil // checked later, too
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(v.issuerWithSkew(ca))
	for _, c := range intermediates {
		between.AddCert(v.issuerWithSkew(c))
	}
	chains, err := leafCopy.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: clampToValidity(now, leafCopy),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if err = checkDirectoryNames(chain); err != nil {
			continue
		}
		if err = checkHosts(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// issuerWithSkew returns a copy of a CA certificate as withSkew does, without name
// constraints among the unknown critical extensions: crypto/x509 treats a critical
// directoryName constraint as unknown, and this package evaluates it.
func (v *Verifier) issuerWithSkew(ca *x509.Certificate) *x509.Certificate {
	extended := v.withSkew(ca)
	extended.UnhandledCriticalExtensions = unknownCritical(ca)
	return extended
}

// unknownCritical returns the critical extensions of a CA that neither crypto/x509 nor
// this package evaluates.
func unknownCritical(ca *x509.Certificate) []asn1.ObjectIdentifier {
	return slices.DeleteFunc(slices.Clone(ca.UnhandledCriticalExtensions), oidNameConstraints.Equal)
}

// withSkew returns a copy for x509.Verify with the clock skew added to the validity
// period, because x509.Verify has no option for it. The signed bytes are unchanged.
func (v *Verifier) withSkew(cert *x509.Certificate) *x509.Certificate {
	extended := *cert
	addSubjectEmail(&extended)
	extended.NotBefore = cert.NotBefore.Add(-v.limits.ClockSkew)
	extended.NotAfter = cert.NotAfter.Add(v.limits.ClockSkew)
	return &extended
}

// RFC 5280, section 4.1.2.6.
var oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

// addSubjectEmail adds a subject alternative name for each emailAddress of the subject
// if the certificate has no alternative names. Name constraints on email addresses apply
// to the subject too (RFC 5280, section 4.2.1.10), and crypto/x509 checks alternative
// names only.
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

// clampToValidity returns the time in the certificate's validity period that is nearest
// to at.
func clampToValidity(at time.Time, cert *x509.Certificate) time.Time {
	switch {
	case at.Before(cert.NotBefore):
		return cert.NotBefore
	case at.After(cert.NotAfter):
		return cert.NotAfter
	default:
		return at
	}
}

// chainRefusal turns an error of x509.Verify into a refusal. An unknown issuer means that
// another anchor may have signed the certificate.
func chainRefusal(err error, ca, leaf *x509.Certificate) error {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return errOtherAnchor
	}
	reason := refusal.CertificateUntrusted
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.IncompatibleUsage {
		reason = refusal.CertificateUnsuitable
	}
	return refusal.New(reason, "the path from the CA %.200q to %.200q is not valid: %.300v", SubjectText(ca), SubjectText(leaf), err)
}
