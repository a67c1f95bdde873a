package trust

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Limits are requirements beyond a valid signature.
type Limits struct {
	// ClockSkew extends every validity period at both ends.
	ClockSkew time.Duration
	// MinRSABits is the minimum length of an RSA key in a certificate; 0 means
	// [DefaultMinRSABits]. Keys of more than 8192 bits are always refused.
	MinRSABits int
	// MaxLifetime is the longest accepted validity period; 0 means no limit.
	MaxLifetime time.Duration
	// RefuseSharedKey refuses certificates over a key that issues certificates: the
	// master key, as in the 2012 recipe, another anchor's key or an intermediate's.
	// The holder of such a certificate has no key of its own.
	RefuseSharedKey bool
}

// Verifier verifies certificates with one keyring, one set of revocations and one set
// of limits. It is immutable and safe for concurrent use. Nil and the zero value refuse
// every certificate.
type Verifier struct {
	keyring     *Keyring
	revocations *Revocations
	limits      Limits
	crls        []*CRL
	staleOK     bool
}

// NewVerifier returns a verifier. With a nil keyring it refuses every certificate; nil
// revocations revoke nothing.
func NewVerifier(k *Keyring, r *Revocations, l Limits) *Verifier {
	return &Verifier{keyring: k, revocations: r, limits: l}
}

// WithCRLs returns a copy of the verifier that also uses revocation lists. If a list is
// not current, certificates of its anchor are refused with [refusal.RevocationUnknown],
// unless staleOK is set: then the list still applies. A list is current from thisUpdate,
// minus the clock skew, to nextUpdate. No skew is added to nextUpdate, because the issuer
// must publish the next list before that time.
func (v *Verifier) WithCRLs(lists []*CRL, staleOK bool) *Verifier {
	if v == nil {
		return nil
	}
	with := *v
	with.crls, with.staleOK = slices.Clone(lists), staleOK
	return &with
}

// Verify verifies the client's certificate at the time now. An anchor must have signed
// it, directly or, if the anchor is a CA certificate, through the intermediates.
//
// Every refusal has a [*refusal.Error], which [refusal.Of] returns. If an anchor signed
// the certificate and another check refused it, [RefusedCertificate] returns the
// certificate. The signature is checked first, except that a weak signature algorithm is
// refused before. The sender of a forged certificate therefore learns only that no anchor
// signed it.
func (v *Verifier) Verify(leaf *x509.Certificate, now time.Time, intermediates ...*x509.Certificate) (Verified, error) {
	if err := v.checkArguments(leaf, intermediates); err != nil {
		return Verified{}, err
	}
	if err := checkSignatureAlgorithm(leaf); err != nil {
		return Verified{}, err
	}
	p, err := v.findPath(leaf, intermediates, now)
	if err != nil {
		return Verified{}, err
	}
	f := newVerification(leaf, p)
	f.sharedKey = v.sharesKey(leaf, p)
	if err := v.checkSigned(leaf, p, f.sharedKey, now); err != nil {
		return Verified{}, &signedError{refusal: err, signed: Signed{f}}
	}
	f.from, f.until = v.stablePeriod(leaf, intermediates, now)
	return Verified{f}, nil
}

// checkArguments refuses nil arguments and too many intermediates.
func (v *Verifier) checkArguments(leaf *x509.Certificate, intermediates []*x509.Certificate) error {
	switch {
	case v == nil || leaf == nil || leaf.SerialNumber == nil:
		return refusal.New(refusal.CertificateUntrusted, "want a verifier and a certificate, found at most one of them")
	case len(intermediates) > maxIntermediates:
		return refusal.New(refusal.CertificateUntrusted, "want at most %d intermediates, found %d", maxIntermediates, len(intermediates))
	case slices.Contains(intermediates, nil):
		return refusal.New(refusal.CertificateUntrusted, "want intermediates, found nil")
	}
	return nil
}

// checkSigned runs the checks that follow the verification of the signature.
func (v *Verifier) checkSigned(leaf *x509.Certificate, p path, sharedKey bool, now time.Time) error {
	if err := v.checkUsage(leaf); err != nil {
		return err
	}
	if err := v.checkTime(leaf, now); err != nil {
		return err
	}
	if err := v.checkRevoked(leaf, p, now); err != nil {
		return err
	}
	if sharedKey && v.limits.RefuseSharedKey {
		return refusal.New(refusal.LegacySharedKey, "the certificate's own key is the master key; issue a certificate over a key that only the client has")
	}
	return nil
}

// stablePeriod returns the longest period around now in which verifying the certificate
// again gives the same result. In that period no validity period of a certificate that
// could be on a path begins or ends, and no revocation list becomes current or outdated.
// Certificates outside the path found now are included, because at another time the
// search may find another path first, and that path may be refused.
func (v *Verifier) stablePeriod(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (from, until time.Time) {
	skew := v.limits.ClockSkew
	from, until = leaf.NotBefore.Add(-skew), leaf.NotAfter.Add(skew)
	narrow := func(begin, end time.Time) {
		switch {
		case now.Before(begin):
			until = earlier(until, begin.Add(-1))
		case now.After(end):
			from = later(from, end.Add(1))
		default:
			from, until = later(from, begin), earlier(until, end)
		}
	}
	for _, c := range intermediates {
		narrow(c.NotBefore.Add(-skew), c.NotAfter.Add(skew))
	}
	for _, a := range v.keyring.anchors {
		if !a.bare {
			narrow(a.issuer.NotBefore.Add(-skew), a.issuer.NotAfter.Add(skew))
		}
	}
	if v.staleOK {
		return from, until
	}
	for _, list := range v.crls {
		narrow(list.thisUpdate.Add(-skew), list.nextUpdate)
	}
	return from, until
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Faults returns every reason for which the limits refuse a certificate, for display to
// the operator. It does not check the signature: a certificate without faults is not
// necessarily trusted.
func (l Limits) Faults(cert *x509.Certificate, now time.Time) []error {
	v := &Verifier{limits: l}
	var faults []error
	for _, err := range []error{checkSignatureAlgorithm(cert), v.checkUsage(cert), v.checkTime(cert, now)} {
		if err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// sharesKey reports whether the certificate's key also issues certificates: whether it
// is the key of any anchor or of an intermediate on the path.
func (v *Verifier) sharesKey(leaf *x509.Certificate, p path) bool {
	for _, a := range v.keyring.anchors {
		if a.hasKey(leaf.PublicKey) {
			return true
		}
	}
	return slices.ContainsFunc(p.intermediates, func(c *x509.Certificate) bool { return keyIDOf(c) == keyIDOf(leaf) })
}

// checkRevoked looks up the certificate and every intermediate below the anchor in the
// deny list and the revocation lists. A revocation list applies to every certificate
// that its key signed, at any position of the path: an anchor may also be an
// intermediate below another anchor.
func (v *Verifier) checkRevoked(leaf *x509.Certificate, p path, now time.Time) error {
	certs := append([]*x509.Certificate{leaf}, p.intermediates...)
	for _, c := range certs {
		if err := v.revocations.check(c); err != nil {
			return err
		}
	}
	if len(v.crls) == 0 {
		return nil
	}
	for i, c := range certs {
		if err := v.checkLists(p.issuer(i), serialText(c.SerialNumber), now); err != nil {
			return err
		}
	}
	return nil
}

// checkLists checks a serial number against all lists of one issuer. A certificate is
// revoked if any list contains it, and every list must be current.
func (v *Verifier) checkLists(issuer KeyID, serial string, now time.Time) error {
	var unknown error
	for _, list := range v.crls {
		if list.keyID != issuer {
			continue
		}
		if err := list.checkSerial(serial); err != nil {
			return err
		}
		if err := list.checkTime(now, v.limits.ClockSkew); err != nil && unknown == nil && !v.staleOK {
			unknown = err
		}
	}
	return unknown
}
