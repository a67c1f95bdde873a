// Package pki creates the master key, its CA certificate and client certificates.
//
// Operators use it through the certgate command: [New] creates a master key, [Load]
// loads an existing one, and [Authority.Issue] issues a certificate for a client's name
// and public key. The gateway does not use this package. It needs only the result of
// [Authority.PublicKeyPEM] or [Authority.CertificatePEM].
//
// The package reads no files and no clock, and keeps no record of the certificates that
// it has issued. The caller stores the keys and certificates and passes the current time.
// The package creates no revocation lists; operators use the gateway's deny list.
//
// Certificates follow the profile of RFC 5280. The recipe of 2012, a certificate for the
// master key itself, is scripts/collective-idea.sh.
package pki

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
)

// errNoAuthority is the error of the methods of a zero Authority.
var errNoAuthority = errors.New("want an authority made by New or Load, found its zero value")

// An Authority is a master key with its CA certificate. [New] and [Load] return valid
// ones. The methods of the zero value return errors or nil. An Authority is immutable
// and safe for concurrent use.
type Authority struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// Options define the authority that [New] creates. Every field is required, except
// Permitted.
type Options struct {
	// Name becomes the common name of the CA certificate: 1–64 characters
	// (RFC 5280 appendix A.1, ub-common-name), none of them a control character.
	Name string
	// Algorithm is the algorithm of the master key.
	Algorithm Algorithm
	// Lifetime is NotAfter−NotBefore. Client certificates cannot be valid for longer.
	Lifetime time.Duration
	// Now is the current time. The validity begins one minute earlier.
	Now time.Time
	// Permitted limits the names that the CA may issue. Names of a source without an entry
	// are not limited.
	Permitted []Permitted
}

// New creates a master key and a self-signed CA certificate.
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
	if len(o.Permitted) > 0 {
		extension, err := nameConstraints(o.Permitted)
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, extension)
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{key: key, certificate: certificate}, nil
}

// Load parses a master key (see [ParseKey]) and its CA certificate, one PEM block of
// type CERTIFICATE. Both may come from this package or from openssl.
//
// Load returns an error if the key does not belong to the certificate, if the key is
// weak, or if the certificate must not sign certificates: basicConstraints without CA,
// or a keyUsage without keyCertSign (RFC 5280 sections 4.2.1.9, 4.2.1.3). It does not
// check the validity period; [Authority.Issue] does.
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

// PrivateKeyPEM returns the master key in the form of [EncodeKey], which is not
// encrypted. The holder of the key can issue certificates for every client.
func (a *Authority) PrivateKeyPEM() ([]byte, error) {
	if !a.ready() {
		return nil, errNoAuthority
	}
	return EncodeKey(a.key)
}

// String returns the subject of the authority and the first 16 characters of its key id.
// Together with GoString it keeps the private key out of logs and panics.
func (a Authority) String() string {
	if !a.ready() {
		return "authority without a key"
	}
	id := sha256.Sum256(a.certificate.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("authority %q %x", a.certificate.Subject.String(), id[:8])
}

// GoString returns the result of String for the verb %#v.
func (a Authority) GoString() string { return a.String() }

func (a *Authority) ready() bool {
	return a != nil && a.key != nil && a.certificate != nil
}

// A Request defines the certificate that [Authority.Issue] issues.
type Request struct {
	// Client is the client's name. The method CheckName of Source must accept it.
	Client string
	// Source is the part of the certificate that holds the name. The zero value means
	// identity.OU. It is the only field that is not required.
	Source identity.Source
	// PublicKey is the client's key: *rsa.PublicKey of 2048 to 8192 bits,
	// *ecdsa.PublicKey on P-256, P-384 or P-521, or ed25519.PublicKey.
	PublicKey crypto.PublicKey
	// Lifetime is NotAfter−NotBefore. A gateway with the same AUTH_MAX_LIFETIME accepts
	// the certificate.
	Lifetime time.Duration
	// Now is the current time.
	Now time.Time
}

// Issue issues a client certificate. With the source OU, both OU and CN are the client's
// name. With another source, only the part of the certificate that the source selects is.
// NotBefore is one minute before Now, because clocks differ, and the serial is a random
// positive number of up to 128 bits (RFC 5280 section 4.1.2.2). The extensions are basicConstraints
// without CA and keyUsage digitalSignature (both critical), extendedKeyUsage clientAuth
// (section 4.2.1.12) and the authority key identifier (section 4.2.1.1).
//
// Issue returns an error if the certificate would not be valid within the validity of
// the CA certificate (it never shortens the lifetime), if the key is weak or the master
// key, if the name constraints of the CA do not permit the name, or if the subject equals
// that of the CA.
func (a *Authority) Issue(r Request) (*x509.Certificate, error) {
	if !a.ready() {
		return nil, errNoAuthority
	}
	source := cmp.Or(r.Source, identity.OU)
	if err := source.CheckName(r.Client); err != nil {
		return nil, fmt.Errorf("client name: %w", err)
	}
	if err := a.checkClientKey(r.PublicKey); err != nil {
		return nil, fmt.Errorf("public key of the client: %w", err)
	}
	period, err := a.periodWithin(r.Now, r.Lifetime)
	if err != nil {
		return nil, err
	}
	template, err := clientTemplate(source, r.Client, period)
	if err != nil {
		return nil, err
	}
	// crypto/x509 sets the authority key identifier only if subject and issuer differ.
	template.AuthorityKeyId = a.certificate.SubjectKeyId
	certificate, err := sign(template, a.certificate, r.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	// With equal names, a verifier treats the certificate as self-issued (RFC 5280
	// section 3.2) and verifies the signature with the certificate's own key.
	if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
		return nil, fmt.Errorf("want a client whose subject is not the CA's, found %q for both", certificate.Subject.String())
	}
	if err := a.checkConstraints(certificate, r.Now); err != nil {
		return nil, err
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

// periodWithin returns the validity period of a client certificate. It lies within that
// of the CA certificate.
func (a *Authority) periodWithin(now time.Time, lifetime time.Duration) (validity, error) {
	period, err := newValidity(now, lifetime)
	if err != nil {
		return validity{}, err
	}
	ca := a.certificate
	if now.Before(ca.NotBefore) || now.After(ca.NotAfter) {
		return validity{}, fmt.Errorf("want a CA certificate valid at %s, found one valid from %s to %s",
			timestamp(now), timestamp(ca.NotBefore), timestamp(ca.NotAfter))
	}
	if period.notAfter.After(ca.NotAfter) {
		return validity{}, fmt.Errorf("want a certificate that expires by %s, when the CA certificate expires, found one that expires at %s",
			timestamp(ca.NotAfter), timestamp(period.notAfter))
	}
	if period.notBefore.Before(ca.NotBefore) {
		period.notBefore = ca.NotBefore
	}
	return period, nil
}
