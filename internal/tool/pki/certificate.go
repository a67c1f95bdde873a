package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/identity"
)

const (
	// backdate is how long before the time of issue a validity period begins, so that
	// a gateway whose clock is slow accepts a new certificate.
	backdate = time.Minute
	// maxCommonName is ub-common-name of RFC 5280 appendix A.1.
	maxCommonName = 64
	// serialBytes is the length of a random serial number. RFC 5280 section 4.1.2.2
	// allows 20 octets.
	serialBytes = 16
)

// EncodeCertificate returns the certificate as one PEM block of type
// CERTIFICATE (RFC 7468 section 5), or nil for a nil certificate.
func EncodeCertificate(certificate *x509.Certificate) []byte {
	if certificate == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	blocks, err := decodeBlocks(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 || blocks[0].Type != "CERTIFICATE" {
		return nil, fmt.Errorf("want one PEM block CERTIFICATE, found %s", describe(blocks))
	}
	return x509.ParseCertificate(blocks[0].Bytes)
}

// checkAuthorityCertificate refuses a certificate that must not sign certificates. A
// certificate without keyUsage has no restrictions (RFC 5280 section 4.2.1.3); openssl
// makes such CA certificates.
func checkAuthorityCertificate(certificate *x509.Certificate) error {
	if !certificate.BasicConstraintsValid || !certificate.IsCA {
		return errors.New("want basicConstraints with CA:TRUE, found a certificate that is not a CA certificate")
	}
	if certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("want a keyUsage with keyCertSign, found one without")
	}
	return nil
}

func checkAuthorityName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxCommonName {
		return fmt.Errorf("want an authority name of 1 to %d characters, found %d", maxCommonName, n)
	}
	for _, r := range name {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return fmt.Errorf("want an authority name of plain text, found %q", name)
		}
	}
	return nil
}

func authorityTemplate(name string, period validity) (*x509.Certificate, error) {
	template, err := newTemplate(pkix.Name{CommonName: name}, period)
	if err != nil {
		return nil, err
	}
	template.BasicConstraintsValid = true
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return template, nil
}

// clientTemplate returns the template of a client certificate. If the name is not in the
// subject, the subject is empty, and crypto/x509 makes the subject alternative names
// critical (RFC 5280, section 4.2.1.6).
func clientTemplate(source identity.Source, client string, period validity) (*x509.Certificate, error) {
	template, err := newTemplate(pkix.Name{}, period)
	if err != nil {
		return nil, err
	}
	switch source {
	case identity.OU:
		template.Subject = pkix.Name{OrganizationalUnit: []string{client}, CommonName: client}
	case identity.CN:
		template.Subject = pkix.Name{CommonName: client}
	case identity.URI:
		uri, err := url.Parse(client)
		if err != nil {
			return nil, err
		}
		template.URIs = []*url.URL{uri}
	case identity.DNS:
		template.DNSNames = []string{client}
	case identity.Email:
		template.EmailAddresses = []string{client}
	default:
		return nil, fmt.Errorf("want a known source of client names, found %q", string(source))
	}
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return template, nil
}

func newTemplate(subject pkix.Name, period validity) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    period.notBefore,
		NotAfter:     period.notAfter,
	}, nil
}

// newSerial returns a random number from 1 to 2^128−1. Serial numbers must be positive
// and unique per issuer, and the package keeps no record of those in use.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 8*serialBytes)
	serial, err := rand.Int(rand.Reader, limit.Sub(limit, big.NewInt(1)))
	if err != nil {
		return nil, fmt.Errorf("random serial: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// sign creates a certificate and returns it as parsed from its DER encoding.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// validity is a validity period in whole seconds, the precision of certificates (RFC
// 5280 section 4.1.2.5).
type validity struct{ notBefore, notAfter time.Time }

// newValidity returns a period that begins [backdate] before now. It returns an error
// if the period would end before now.
func newValidity(now time.Time, lifetime time.Duration) (validity, error) {
	if now.IsZero() {
		return validity{}, errors.New("want the time of issue, found none")
	}
	if lifetime <= backdate {
		return validity{}, fmt.Errorf("want a lifetime longer than %s, because the validity begins that long before now, found %s", backdate, lifetime)
	}
	start := now.UTC().Add(-backdate).Truncate(time.Second)
	return validity{notBefore: start, notAfter: start.Add(lifetime.Truncate(time.Second))}, nil
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
