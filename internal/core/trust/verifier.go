package trust

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Limits narrow what the anchors' signatures are good for.
type Limits struct {
	// ClockSkew is the leeway at both ends of a validity period.
	ClockSkew time.Duration
	// MinRSABits is the shortest RSA key accepted in a certificate; 0 is
	// [DefaultMinRSABits]. Keys of more than 8192 bits are always refused.
	MinRSABits int
	// MaxLifetime refuses certificates issued for longer; 0 is off.
	MaxLifetime time.Duration
	// RefuseSharedKey refuses certificates over the master key itself, as the
	// 2012 recipe makes them: their client owns no key. Another anchor's key or
	// an intermediate's is no better.
	RefuseSharedKey bool
}

// Verifier answers for certificates under one keyring, one set of revocations
// and one set of limits. It is immutable and safe for concurrent use. Nil and
// the zero value trust nobody.
type Verifier struct {
	keyring     *Keyring
	revocations *Revocations
	limits      Limits
	crls        []*CRL
	staleOK     bool
}

// NewVerifier joins what is trusted with what is not any more. A nil keyring
// trusts nobody; nil revocations revoke nothing.
func NewVerifier(k *Keyring, r *Revocations, l Limits) *Verifier {
	return &Verifier{keyring: k, revocations: r, limits: l}
}

// WithCRLs is the same verifier with revocation lists. A list that is not current
// refuses its anchor's certificates ([refusal.RevocationUnknown]), unless staleOK:
// then it goes on revoking what it has. A list is current from thisUpdate, with
// the clock skew as leeway, to nextUpdate, without any: a newer one must be there
// by then.
func (v *Verifier) WithCRLs(lists []*CRL, staleOK bool) *Verifier {
	if v == nil {
		return nil
	}
	with := *v
	with.crls, with.staleOK = slices.Clone(lists), staleOK
	return &with
}

// Verify reports whether an anchor vouches for the client's certificate at the
// time now, directly or, where the anchor is a CA certificate, through the
// intermediates.
//
// Every refusal has a [*refusal.Error], which [refusal.Of] returns. When an anchor
// signed the certificate and another check refused it, [RefusedCertificate]
// returns the certificate. Nothing about an unsigned certificate is judged before
// its signature, except the algorithms that could not prove anything, so a forger
// learns only that the forgery was detected.
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
	f := newFound(leaf, p.anchor)
	f.sharedKey = v.sharesKey(leaf, p)
	if err := v.checkSigned(leaf, p, f.sharedKey, now); err != nil {
		return Verified{}, &signedError{refusal: err, signed: Signed{f}}
	}
	f.from, f.until = v.period(leaf, intermediates, now)
	return Verified{f}, nil
}

// checkArguments refuses what Verify cannot work with.
func (v *Verifier) checkArguments(leaf *x509.Certificate, intermediates []*x509.Certificate) error {
	switch {
	case v == nil || leaf == nil || leaf.SerialNumber == nil:
		return refusal.New(refusal.CertificateUntrusted, "want a verifier and a certificate, found neither or only one")
	case len(intermediates) > maxIntermediates:
		return refusal.New(refusal.CertificateUntrusted, "want at most %d intermediates, found %d", maxIntermediates, len(intermediates))
	case slices.Contains(intermediates, nil):
		return refusal.New(refusal.CertificateUntrusted, "want intermediates, found nil")
	}
	return nil
}

// checkSigned runs the checks of a certificate whose signature was verified.
func (v *Verifier) checkSigned(leaf *x509.Certificate, p path, sharedKey bool, now time.Time) error {
	if err := v.checkUse(leaf); err != nil {
		return err
	}
	if err := v.checkTime(leaf, now); err != nil {
		return err
	}
	if err := v.checkRevoked(leaf, p, now); err != nil {
		return err
	}
	if sharedKey && v.limits.RefuseSharedKey {
		return refusal.New(refusal.LegacySharedKey, "the certificate's own key is the master key; issue one over a key of the client's own")
	}
	return nil
}

// period is the time around now in which the verification finds what it finds
// now: no certificate that a path could lead through begins or ends, and no
// revocation list comes into force or goes stale. All of them count, not only
// those on the path that was taken: at another time another path may come first,
// and be refused.
func (v *Verifier) period(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time) (from, until time.Time) {
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

// Faults is every reason for which a certificate would be refused under the
// limits whoever signed it, for an operator's eyes. None does not mean trusted.
func (l Limits) Faults(cert *x509.Certificate, now time.Time) []error {
	v := &Verifier{limits: l}
	var faults []error
	for _, err := range []error{checkSignatureAlgorithm(cert), v.checkUse(cert), v.checkTime(cert, now)} {
		if err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// sharesKey reports whether the certificate's key is one that issues: an
// anchor's, whichever of them signed it, or an intermediate's.
func (v *Verifier) sharesKey(leaf *x509.Certificate, p path) bool {
	for _, a := range v.keyring.anchors {
		if a.owns(leaf.PublicKey) {
			return true
		}
	}
	return slices.ContainsFunc(p.intermediates, func(c *x509.Certificate) bool { return keyIDOf(c) == keyIDOf(leaf) })
}

// checkRevoked asks the deny list and the revocation lists about the certificate
// and every intermediate below the anchor. A list answers for what its key
// signed wherever that is in the path: an anchor may be an intermediate of
// another one, and its list must not be lost when the path begins higher up.
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

// checkLists asks all lists of one key: what any of them revokes is revoked, and
// each must be current.
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

// strongSignatures are the algorithms whose hash is still collision resistant.
// CheckSignatureFrom refuses MD5 and SHA-1 too; the list is here so that the
// reason is certificate_weak and stays so.
var strongSignatures = []x509.SignatureAlgorithm{
	x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
	x509.PureEd25519,
}

// algorithmName never is the number 0 that an unknown algorithm prints as. Such
// are algorithms that crypto/x509 does not have, and RSA-PSS with other
// parameters than it takes.
func algorithmName(a x509.SignatureAlgorithm) string {
	if a == x509.UnknownSignatureAlgorithm {
		return "one that is not supported"
	}
	return a.String()
}

func hasStrongSignature(cert *x509.Certificate) bool {
	return slices.Contains(strongSignatures, cert.SignatureAlgorithm)
}

func checkSignatureAlgorithm(cert *x509.Certificate) error {
	if hasStrongSignature(cert) {
		return nil
	}
	return refusal.New(refusal.CertificateWeak, "want a signature with SHA-256 or better, found %s", algorithmName(cert.SignatureAlgorithm))
}

// checkUse asks whether this certificate may speak for a client at all.
func (v *Verifier) checkUse(cert *x509.Certificate) error {
	if err := checkKey(cert.PublicKey, v.limits.MinRSABits); err != nil {
		return refusal.New(refusal.CertificateWeak, "the certificate's key: %v", err)
	}
	if cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 {
		return errAuthority(cert)
	}
	// RFC 5280, section 4.2: a critical extension that is not processed must be refused.
	if critical := cert.UnhandledCriticalExtensions; len(critical) > 0 {
		return refusal.New(refusal.CertificateUnsuitable, "want critical extensions that are evaluated in a client certificate, found %s", extensionNames(critical))
	}
	// Section 4.2.1.3: a client proves possession of its key with a signature.
	if hasExtension(cert, oidKeyUsage) && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refusal.New(refusal.CertificateUnsuitable, "want a key usage that has digitalSignature, or none; found one without")
	}
	if !allowsClientAuth(cert) {
		return refusal.New(refusal.CertificateUnsuitable, "want an extended key usage that has clientAuth, or none; found one without")
	}
	return nil
}

// errAuthority refuses the certificate of a CA. A self-signed one without a keyUsage
// may also be a client's: openssl req -x509 writes CA:TRUE unless told otherwise.
func errAuthority(cert *x509.Certificate) error {
	hint := "This is the certificate of a CA: attach the client's own, the first of a chain"
	if bytes.Equal(cert.RawSubject, cert.RawIssuer) && !hasExtension(cert, oidKeyUsage) {
		hint += ". If it is the client's own, made with openssl req -x509, add -addext basicConstraints=critical,CA:FALSE to that command"
	}
	return refusal.New(refusal.CertificateUnsuitable, "want a client certificate, found a CA certificate").WithHint(hint)
}

// allowsClientAuth takes RFC 5280, section 4.2.1.12 strictly: where the
// extension is present it must name clientAuth; anyExtendedKeyUsage does not.
func allowsClientAuth(cert *x509.Certificate) bool {
	// Asked by presence: an empty list of purposes is not the same as none.
	if !hasExtension(cert, oidExtKeyUsage) {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}

func (v *Verifier) checkTime(cert *x509.Certificate, now time.Time) error {
	if v.before(cert, now) {
		return refusal.New(refusal.CertificateNotYetValid, "valid from %s", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if v.after(cert, now) {
		return refusal.New(refusal.CertificateExpired, "valid to %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); v.limits.MaxLifetime > 0 && life > v.limits.MaxLifetime {
		return refusal.New(refusal.CertificateLifetime, "want a lifetime of at most %s, found %s", v.limits.MaxLifetime, life)
	}
	return nil
}

// before and after include both ends (RFC 5280, section 4.1.2.5).
func (v *Verifier) before(cert *x509.Certificate, now time.Time) bool {
	return now.Add(v.limits.ClockSkew).Before(cert.NotBefore)
}

func (v *Verifier) after(cert *x509.Certificate, now time.Time) bool {
	return now.Add(-v.limits.ClockSkew).After(cert.NotAfter)
}
