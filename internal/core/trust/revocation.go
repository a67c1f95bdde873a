package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Revocation withdraws trust from certificates. Exactly one of Serial, SPKI and
// Certificate is set.
type Revocation struct {
	// Serial is a serial number in hex, either case, colons allowed. Serial
	// numbers are unique per issuer only: with several anchors it revokes the
	// number under each of them, which can refuse too much and never too little.
	Serial string
	// SPKI is "sha256/" and the base64 of the SHA-256 of the certificate's
	// SubjectPublicKeyInfo: every certificate of one key.
	SPKI string
	// Certificate is the SHA-256 of the certificate's signed part
	// (RawTBSCertificate) in hex, what [Verified.Fingerprint] gives: this one
	// certificate, however its signature is encoded.
	Certificate string
	// Reason is for the log.
	Reason string
}

// RevocationError is one entry that cannot be read. Index counts from 0.
type RevocationError struct {
	Index   int
	Problem string
}

// Error says which entry and what is wanted.
func (e *RevocationError) Error() string {
	return fmt.Sprintf("revocation %d: %s", e.Index+1, e.Problem)
}

// Revocations is an immutable set of revocations with constant-time look-up.
// Nil revokes nothing.
type Revocations struct {
	serials      map[string]string
	spkis        map[[sha256.Size]byte]string
	certificates map[[sha256.Size]byte]string
}

// NewRevocations checks every entry and joins all faults, each a
// [*RevocationError].
func NewRevocations(list []Revocation) (*Revocations, error) {
	r := &Revocations{
		serials:      map[string]string{},
		spkis:        map[[sha256.Size]byte]string{},
		certificates: map[[sha256.Size]byte]string{},
	}
	var faults []error
	for i, entry := range list {
		if err := r.add(entry); err != nil {
			faults = append(faults, &RevocationError{Index: i, Problem: err.Error()})
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

// Entries lists what is revoked in a canonical form, such as "serial 4f3a09",
// sorted and without reasons.
func (r *Revocations) Entries() []string {
	if r == nil {
		return nil
	}
	var list []string
	for serial := range r.serials {
		list = append(list, "serial "+serial)
	}
	for sum := range r.spkis {
		list = append(list, "spki sha256/"+base64.StdEncoding.EncodeToString(sum[:]))
	}
	for sum := range r.certificates {
		list = append(list, "certificate "+hex.EncodeToString(sum[:]))
	}
	slices.Sort(list)
	return list
}

func (r *Revocations) add(entry Revocation) error {
	set := 0
	for _, field := range []string{entry.Serial, entry.SPKI, entry.Certificate} {
		if field != "" {
			set++
		}
	}
	if set != 1 {
		return errors.New("want exactly one of serial, spki and certificate")
	}
	switch {
	case entry.Serial != "":
		serial, err := parseSerial(entry.Serial)
		if err != nil {
			return err
		}
		r.serials[serial] = entry.Reason
	case entry.SPKI != "":
		sum, err := parseSPKI(entry.SPKI)
		if err != nil {
			return err
		}
		r.spkis[sum] = entry.Reason
	default:
		sum, err := parseFingerprint(entry.Certificate)
		if err != nil {
			return err
		}
		r.certificates[sum] = entry.Reason
	}
	return nil
}

func parseSerial(text string) (string, error) {
	digits := strings.ReplaceAll(text, ":", "")
	// RFC 5280, section 4.1.2.2: at most 20 octets; some are longer in practice.
	if len(digits) == 0 || len(digits) > 64 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return "", fmt.Errorf("want a serial number in hex such as 4f3a09, found %.80q", text)
	}
	n, _ := new(big.Int).SetString(digits, 16)
	return serialText(n), nil
}

// serialText is the one spelling of a serial number: lower case, whole bytes.
func serialText(n *big.Int) string {
	if n.Sign() == 0 {
		return "00"
	}
	return hex.EncodeToString(n.Bytes())
}

func parseSPKI(text string) (sum [sha256.Size]byte, err error) {
	encoded, ok := strings.CutPrefix(text, "sha256/")
	raw, decodeErr := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || decodeErr != nil || len(raw) != len(sum) || strings.ContainsAny(encoded, "\r\n") {
		return sum, fmt.Errorf("want sha256/ and the base64 of 32 bytes, found %.80q", text)
	}
	copy(sum[:], raw)
	return sum, nil
}

func parseFingerprint(text string) (sum [sha256.Size]byte, err error) {
	raw, decodeErr := hex.DecodeString(strings.ToLower(strings.ReplaceAll(text, ":", "")))
	if decodeErr != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("want the SHA-256 of the signed part of a certificate, 64 hex digits as certgate inspect shows them, found %.80q", text)
	}
	copy(sum[:], raw)
	return sum, nil
}

func (r *Revocations) check(cert *x509.Certificate) error {
	if r == nil {
		return nil
	}
	if why, hit := r.serials[serialText(cert.SerialNumber)]; hit {
		return refusal.New(refusal.CertificateRevoked, "serial %s is on the deny list (%s)", serialText(cert.SerialNumber), noted(why))
	}
	if why, hit := r.spkis[sha256.Sum256(cert.RawSubjectPublicKeyInfo)]; hit {
		return refusal.New(refusal.CertificateRevoked, "the certificate's key is on the deny list (%s)", noted(why))
	}
	if why, hit := r.certificates[sha256.Sum256(cert.RawTBSCertificate)]; hit {
		return refusal.New(refusal.CertificateRevoked, "the certificate is on the deny list (%s)", noted(why))
	}
	return nil
}

func noted(why string) string {
	if why == "" {
		return "no reason given"
	}
	return why
}
