package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Revocation is one entry of the deny list. Exactly one of Serial, SPKI and Certificate
// must be set.
type Revocation struct {
	// Serial is a serial number in hex digits of either case, with optional colons.
	// Serial numbers are unique per issuer only. With several anchors, the entry
	// applies to the certificates of all of them.
	Serial string
	// SPKI is "sha256/" and the base64 of the SHA-256 of a SubjectPublicKeyInfo. It
	// revokes every certificate over that key.
	SPKI string
	// Certificate is the fingerprint of one certificate as [Verified.Fingerprint]
	// returns it: the SHA-256 of RawTBSCertificate in hex. It does not depend on the
	// encoding of the signature.
	Certificate string
	// Reason appears in the log.
	Reason string
}

// RevocationError is the error for one invalid entry. Index counts from 0.
type RevocationError struct {
	Index   int
	Problem string
}

// Error returns the number of the entry, counted from 1, and the problem.
func (e *RevocationError) Error() string {
	return fmt.Sprintf("revocation %d: %s", e.Index+1, e.Problem)
}

// Revocations is an immutable set of revocations. A lookup takes the same time for any
// number of entries. Nil revokes nothing.
type Revocations struct {
	serials      map[string]string
	spkis        map[[sha256.Size]byte]string
	certificates map[[sha256.Size]byte]string
}

// NewRevocations parses all entries. The error joins the errors of all invalid entries,
// each a [*RevocationError].
func NewRevocations(list []Revocation) (*Revocations, error) {
	r := &Revocations{
		serials:      map[string]string{},
		spkis:        map[[sha256.Size]byte]string{},
		certificates: map[[sha256.Size]byte]string{},
	}
	var errs []error
	for i, entry := range list {
		if err := r.add(entry); err != nil {
			errs = append(errs, &RevocationError{Index: i, Problem: err.Error()})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, nil
}

// Entries returns the sorted entries in a canonical form without reasons, such as
// "serial 4f3a09".
func (r *Revocations) Entries() []string {
	return slices.Sorted(maps.Keys(r.Reasons()))
}

// Reasons returns the reason of each entry, by its canonical form as in
// [Revocations.Entries].
func (r *Revocations) Reasons() map[string]string {
	list := map[string]string{}
	if r == nil {
		return list
	}
	for serial, reason := range r.serials {
		list["serial "+serial] = reason
	}
	for sum, reason := range r.spkis {
		list["spki sha256/"+base64.StdEncoding.EncodeToString(sum[:])] = reason
	}
	for sum, reason := range r.certificates {
		list["certificate "+hex.EncodeToString(sum[:])] = reason
	}
	return list
}

// DeniesSerial reports whether an entry denies every certificate with this serial number, in
// the form of [Verified.Serial]. It does not examine entries for keys and certificates.
func (r *Revocations) DeniesSerial(serial string) bool {
	if r == nil {
		return false
	}
	_, denied := r.serials[serial]
	return denied
}

// Keys returns the number of entries for keys and for single certificates, which do not depend
// on serial numbers.
func (r *Revocations) Keys() int {
	if r == nil {
		return 0
	}
	return len(r.spkis) + len(r.certificates)
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
	// RFC 5280, section 4.1.2.2: at most 20 octets. Some issuers use longer ones.
	if len(digits) == 0 || len(digits) > 64 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return "", fmt.Errorf("want a serial number in hex such as 4f3a09, found %.80q", text)
	}
	n, _ := new(big.Int).SetString(digits, 16)
	return serialText(n), nil
}

// serialText returns the canonical form of a serial number: lower-case hex of whole
// bytes.
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
	if reason, hit := r.serials[serialText(cert.SerialNumber)]; hit {
		return refusal.New(refusal.CertificateRevoked, "serial %s is on the deny list (%s)", serialText(cert.SerialNumber), reasonText(reason))
	}
	if reason, hit := r.spkis[sha256.Sum256(cert.RawSubjectPublicKeyInfo)]; hit {
		return refusal.New(refusal.CertificateRevoked, "the certificate's key is on the deny list (%s)", reasonText(reason))
	}
	if reason, hit := r.certificates[sha256.Sum256(cert.RawTBSCertificate)]; hit {
		return refusal.New(refusal.CertificateRevoked, "the certificate is on the deny list (%s)", reasonText(reason))
	}
	return nil
}

// reasonText returns the operator's reason for a message.
func reasonText(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return reason
}
