package trust

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// strongSignatures are the algorithms with a collision-resistant hash. CheckSignatureFrom
// refuses MD5 and SHA-1 too; the list makes certificate_weak the reason, whatever
// crypto/x509 supports.
var strongSignatures = []x509.SignatureAlgorithm{
	x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
	x509.PureEd25519,
}

// algorithmName returns a name for messages. crypto/x509 prints 0 for algorithms that it
// does not support, such as RSA-PSS with unusual parameters.
func algorithmName(a x509.SignatureAlgorithm) string {
	if a == x509.UnknownSignatureAlgorithm {
		return "an unsupported algorithm"
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

// checkUsage refuses certificates that may not identify a client: weak keys, CA
// certificates, unknown critical extensions and other purposes.
func (v *Verifier) checkUsage(cert *x509.Certificate) error {
	if err := checkKey(cert.PublicKey, v.limits.MinRSABits); err != nil {
		return refusal.New(refusal.CertificateWeak, "the certificate's key: %v", err)
	}
	if cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 {
		return refuseCA(cert)
	}
	// RFC 5280, section 4.2: a critical extension that is not processed must be refused.
	if critical := cert.UnhandledCriticalExtensions; len(critical) > 0 {
		return refusal.New(refusal.CertificateUnsuitable, "want critical extensions that are evaluated in a client certificate, found %s", extensionNames(critical))
	}
	// Section 4.2.1.3: a client proves possession of its key with a signature.
	if hasExtension(cert, oidKeyUsage) && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refusal.New(refusal.CertificateUnsuitable, "want no key usage or one with digitalSignature, found one without")
	}
	if !allowsClientAuth(cert) {
		return refusal.New(refusal.CertificateUnsuitable, "want no extended key usage or one with clientAuth, found one without")
	}
	return nil
}

// refuseCA returns the refusal of a CA certificate. A self-signed one without keyUsage
// may be meant for a client: openssl req -x509 writes CA:TRUE by default. Its hint
// includes the option that changes this.
func refuseCA(cert *x509.Certificate) error {
	hint := "This is the certificate of a CA: attach the client's certificate, which is the first of a chain"
	if bytes.Equal(cert.RawSubject, cert.RawIssuer) && !hasExtension(cert, oidKeyUsage) {
		hint += ". If the client's certificate was made with openssl req -x509, add -addext basicConstraints=critical,CA:FALSE to that command"
	}
	return refusal.New(refusal.CertificateUnsuitable, "want a client certificate, found a CA certificate").WithHint(hint)
}

// allowsClientAuth reports whether the certificate may authenticate a client. RFC 5280,
// section 4.2.1.12 is applied strictly: the extension, if present, must contain
// clientAuth; anyExtendedKeyUsage is not enough.
func allowsClientAuth(cert *x509.Certificate) bool {
	// An extension with an empty list of purposes allows nothing, so the presence of
	// the extension decides.
	if !hasExtension(cert, oidExtKeyUsage) {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}

func (v *Verifier) checkTime(cert *x509.Certificate, now time.Time) error {
	if v.isNotYetValid(cert, now) {
		return refusal.New(refusal.CertificateNotYetValid, "valid from %s", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if v.isExpired(cert, now) {
		return refusal.New(refusal.CertificateExpired, "valid to %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); v.limits.MaxLifetime > 0 && life > v.limits.MaxLifetime {
		return refusal.New(refusal.CertificateLifetime, "want a lifetime of at most %s, found %s", v.limits.MaxLifetime, life)
	}
	return nil
}

// isNotYetValid reports whether now is before the validity period, which includes both
// of its ends (RFC 5280, section 4.1.2.5).
func (v *Verifier) isNotYetValid(cert *x509.Certificate, now time.Time) bool {
	return now.Add(v.limits.ClockSkew).Before(cert.NotBefore)
}

// isExpired reports whether now is after the validity period.
func (v *Verifier) isExpired(cert *x509.Certificate, now time.Time) bool {
	return now.Add(-v.limits.ClockSkew).After(cert.NotAfter)
}
