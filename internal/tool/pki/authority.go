// Package pki makes the master key, its CA certificate and client
// certificates.
//
// It is the operator's side of certgate: [New] makes a master key, [Load] reads
// one back, [Authority.Issue] certifies the public key of a client under the
// client's name. The gateway needs none of it: it is given the result of
// [Authority.PublicKeyPEM] or [Authority.CertificatePEM] and nothing else.
//
// The package reads no file, asks no clock and keeps no record of what it has
// issued. Whoever calls it stores the bytes, says what time it is and remembers
// the serial numbers. It makes no revocation lists: certgate's deny list does
// that work.
//
// Certificates follow the profile of RFC 5280. The 2012 recipe, a certificate
// over the master key itself, is scripts/collective-idea.sh.
package pki

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
)

// errNoAuthority is the answer of every method of a zero Authority.
var errNoAuthority = errors.New("want an authority made by New or Load, found its zero value")

// An Authority is a master key with its CA certificate. The zero value holds no
// key and issues nothing. An Authority does not change after it is made, and
// several goroutines may use one.
type Authority struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// Options says what authority [New] makes. Every field is required.
type Options struct {
	// Name becomes the common name of the CA certificate: 1–64 characters
	// (RFC 5280 appendix A.1, ub-common-name), none of them a control character.
	Name string
	// Algorithm is the kind of master key.
	Algorithm Algorithm
	// Lifetime is NotAfter−NotBefore. No client certificate can outlive it.
	Lifetime time.Duration
	// Now is the time of making; validity starts one minute earlier.
	Now time.Time
}

// New makes a master key and a CA certificate that it signs itself.
//
// The certificate has a critical basicConstraints (CA, path length 0: it signs
// clients and no further CAs; RFC 5280 section 4.2.1.9), a critical keyUsage of
// keyCertSign and cRLSign (section 4.2.1.3) and a subject key identifier
// (section 4.2.1.2).
func New(o Options) (*Authority, error) {
	if err := checkAuthorityName(o.Name); err != nil {
		return nil, err
	}
	period, err := newValidity(o.Now, o.Lifetime)
	if err != nil {
		return nil, err
	}
	key, err := o.Algorithm.Generate()
	if err != nil {
		return nil, err
	}
	template, err := authorityTemplate(o.Name, period)
	if err != nil {
		return nil, err
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{key: key, certificate: certificate}, nil
}

// Load reads a master key (see [ParseKey]) and its CA certificate, one PEM
// block of type CERTIFICATE, made here or by openssl.
//
// It fails when the key is not the one in the certificate, when the key is
// weak, and when the certificate may not sign others: basicConstraints without
// CA, or a keyUsage without keyCertSign (RFC 5280 sections 4.2.1.9, 4.2.1.3).
// It does not look at the dates: [Authority.Issue] does.
func Load(keyPEM, certPEM []byte) (*Authority, error) {
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if err := checkPublicKey(key.Public()); err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	certificate, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if err := checkAuthorityCertificate(certificate); err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if !sameKey(key.Public(), certificate.PublicKey) {
		return nil, errors.New("want the key of the CA certificate, found another master key")
	}
	return &Authority{key: key, certificate: certificate}, nil
}

// PublicKeyPEM returns the master public key as a PEM block of type PUBLIC KEY
// (RFC 5280 section 4.1.2.7, SubjectPublicKeyInfo). The zero Authority returns
// nil.
func (a *Authority) PublicKeyPEM() []byte {
	if !a.ready() {
		return nil
	}
	return encodePublicKey(a.certificate.RawSubjectPublicKeyInfo)
}

// CertificatePEM returns the CA certificate as a PEM block of type CERTIFICATE.
// The zero Authority returns nil.
func (a *Authority) CertificatePEM() []byte {
	if !a.ready() {
		return nil
	}
	return EncodeCertificate(a.certificate)
}

// PrivateKeyPEM returns the master key as [EncodeKey] writes it: unencrypted.
// Whoever reads it can speak as every client.
func (a *Authority) PrivateKeyPEM() ([]byte, error) {
	if !a.ready() {
		return nil, errNoAuthority
	}
	return EncodeKey(a.key)
}

// String names the authority by its subject and the first 16 characters of its
// key id. With GoString it keeps the private key out of logs and panics.
func (a Authority) String() string {
	if !a.ready() {
		return "authority without a key"
	}
	id := sha256.Sum256(a.certificate.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("authority %q %x", a.certificate.Subject.String(), id[:8])
}

// GoString is String, for %#v.
func (a Authority) GoString() string { return a.String() }

func (a *Authority) ready() bool {
	return a != nil && a.key != nil && a.certificate != nil
}

// A Request says what certificate [Authority.Issue] makes. Every field is
// required.
type Request struct {
	// Client is the name the certificate speaks for, as identity.CheckName
	// wants it.
	Client string
	// PublicKey is the client's own: *rsa.PublicKey of 2048 to 8192 bits,
	// *ecdsa.PublicKey on P-256, P-384 or P-521, or ed25519.PublicKey.
	PublicKey crypto.PublicKey
	// Lifetime is NotAfter−NotBefore, so a gateway whose AUTH_MAX_LIFETIME is
	// the same value accepts the certificate.
	Lifetime time.Duration
	// Now is the time of issue.
	Now time.Time
}

// Issue makes a client certificate: OU and CN are the client's name, NotBefore
// is one minute before Now (clocks differ), the serial is a random positive
// number of up to 128 bits (RFC 5280 section 4.1.2.2). Its extensions are
// basicConstraints without CA, keyUsage digitalSignature (both critical),
// extendedKeyUsage clientAuth (section 4.2.1.12) and the authority key
// identifier (section 4.2.1.1).
//
// It issues nothing that could not be used or should not be: not outside the
// validity of the CA certificate (a client certificate is refused, never
// silently cut shorter), not for a weak key, not for the master key itself, and
// not under the CA's own subject.
func (a *Authority) Issue(r Request) (*x509.Certificate, error) {
	if !a.ready() {
		return nil, errNoAuthority
	}
	if err := identity.CheckName(r.Client); err != nil {
		return nil, fmt.Errorf("client name: %w", err)
	}
	if err := a.checkClientKey(r.PublicKey); err != nil {
		return nil, fmt.Errorf("public key of the client: %w", err)
	}
	period, err := a.periodWithin(r.Now, r.Lifetime)
	if err != nil {
		return nil, err
	}
	template, err := clientTemplate(r.Client, period)
	if err != nil {
		return nil, err
	}
	// Go derives the authority key identifier only if the two names differ.
	template.AuthorityKeyId = a.certificate.SubjectKeyId
	certificate, err := sign(template, a.certificate, r.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	// With equal names a verifier takes the certificate for self-issued
	// (RFC 5280 section 3.2) and looks for its own key as the issuer's.
	if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
		return nil, fmt.Errorf("want a client whose subject is not the CA's, found %q for both", certificate.Subject.String())
	}
	return certificate, nil
}

func (a *Authority) checkClientKey(public crypto.PublicKey) error {
	if err := checkPublicKey(public); err != nil {
		return err
	}
	if sameKey(public, a.certificate.PublicKey) {
		return errors.New("want the client's own key, found the master key")
	}
	return nil
}

// periodWithin is the validity of a client certificate, inside that of the CA
// certificate at both ends.
func (a *Authority) periodWithin(now time.Time, lifetime time.Duration) (validity, error) {
	period, err := newValidity(now, lifetime)
	if err != nil {
		return validity{}, err
	}
	ca := a.certificate
	if now.Before(ca.NotBefore) || now.After(ca.NotAfter) {
		return validity{}, fmt.Errorf("want a CA certificate valid at %s, found one valid from %s to %s",
			stamp(now), stamp(ca.NotBefore), stamp(ca.NotAfter))
	}
	if period.notAfter.After(ca.NotAfter) {
		return validity{}, fmt.Errorf("want a certificate that ends by %s, when the CA certificate does, found an end at %s",
			stamp(ca.NotAfter), stamp(period.notAfter))
	}
	if period.notBefore.Before(ca.NotBefore) {
		period.notBefore = ca.NotBefore
	}
	return period, nil
}
