package trust

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// CRL is one certificate revocation list (RFC 5280, section 5) that an anchor signed. It
// is immutable.
type CRL struct {
	keyID      KeyID
	thisUpdate time.Time
	nextUpdate time.Time
	serials    map[string]bool
}

// KeyID returns the id of the anchor that signed the list. The list applies only to
// certificates that this anchor issued.
func (c *CRL) KeyID() KeyID { return c.keyID }

// ThisUpdate returns the time at which the list was issued.
func (c *CRL) ThisUpdate() time.Time { return c.thisUpdate }

// NextUpdate returns the time until which the list is current.
func (c *CRL) NextUpdate() time.Time { return c.nextUpdate }

// Len returns the number of certificates that the list revokes.
func (c *CRL) Len() int { return len(c.serials) }

// ParseCRLs reads the lists of one file, which holds one list in DER or PEM blocks of
// type "X509 CRL". Each list must be signed by an anchor of the keyring with SHA-256 or
// better and must have nextUpdate. Critical extensions are refused: they change the set
// of certificates to which a list applies (delta lists, indirect lists, partitions), and
// ignoring one could accept a revoked certificate.
func ParseCRLs(text []byte, k *Keyring) ([]*CRL, error) {
	ders := [][]byte{text}
	if bytes.Contains(text, pemBegin) {
		var err error
		if ders, err = crlBlocks(text); err != nil {
			return nil, err
		}
	}
	var lists []*CRL
	for i, der := range ders {
		list, err := parseCRL(der, k)
		if err != nil {
			return nil, fmt.Errorf("list %d: %w", i+1, err)
		}
		lists = append(lists, list)
	}
	return lists, nil
}

func crlBlocks(text []byte) ([][]byte, error) {
	blocks, err := splitPEM(bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
	if err != nil {
		return nil, err
	}
	ders := make([][]byte, len(blocks))
	for i, b := range blocks {
		if b.block.Type != "X509 CRL" {
			return nil, fmt.Errorf("line %d: want X509 CRL, found %.40q", b.line, b.block.Type)
		}
		ders[i] = b.block.Bytes
	}
	return ders, nil
}

func parseCRL(der []byte, k *Keyring) (*CRL, error) {
	list, err := x509.ParseRevocationList(der)
	// ParseRevocationList ignores bytes after the list, which may be another list.
	if err != nil || len(list.Raw) != len(der) {
		return nil, errors.New("want a version 2 revocation list in DER or PEM, found one that cannot be read")
	}
	if !slices.Contains(strongSignatures, list.SignatureAlgorithm) {
		return nil, fmt.Errorf("want a signature with SHA-256 or better, found %s", algorithmName(list.SignatureAlgorithm))
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("want a list with nextUpdate, found one without")
	}
	signer, ok := crlSigner(list, k)
	if !ok {
		return nil, fmt.Errorf("want a list signed by a key in force (a CA certificate must have the list's issuer as subject, and cRLSign), found one of issuer %.200q", nameText(list.RawIssuer, list.Issuer))
	}
	crl := &CRL{keyID: signer.id, thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate, serials: map[string]bool{}}
	if err := checkExtensions(list.Extensions); err != nil {
		return nil, fmt.Errorf("want a list without critical extensions, %w", err)
	}
	for _, entry := range list.RevokedCertificateEntries {
		if err := checkExtensions(entry.Extensions); err != nil {
			return nil, fmt.Errorf("want entries without critical extensions, %w", err)
		}
		crl.serials[serialText(entry.SerialNumber)] = true
	}
	return crl, nil
}

// checkExtensions refuses critical extensions, because no extension of a list is
// evaluated.
func checkExtensions(list []pkix.Extension) error {
	for _, e := range list {
		if !e.Critical {
			continue
		}
		name := extensionName(e.Id)
		if name == e.Id.String() {
			return fmt.Errorf("found %s", name)
		}
		return fmt.Errorf("found %s: partitioned, indirect and delta lists are not supported", name)
	}
	return nil
}

// crlSigner returns the anchor that signed the list. A CA certificate must be allowed to
// sign lists and have the list's issuer as its subject (RFC 5280, section 6.3.3).
func crlSigner(list *x509.RevocationList, k *Keyring) (Anchor, bool) {
	for _, a := range k.Anchors() {
		if !a.bare && !bytes.Equal(list.RawIssuer, a.issuer.RawSubject) {
			continue
		}
		if list.CheckSignatureFrom(a.issuer) == nil {
			return a, true
		}
	}
	return Anchor{}, false
}

func (c *CRL) checkSerial(serial string) error {
	if c.serials[serial] {
		return refusal.New(refusal.CertificateRevoked, "serial %s is on the revocation list of %s", serial, c.thisUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkTime refuses if the list is not current at the time now. A list from the future
// means that the clock or the file is wrong.
func (c *CRL) checkTime(now time.Time, skew time.Duration) error {
	if now.Add(skew).Before(c.thisUpdate) {
		return refusal.New(refusal.RevocationUnknown, "the revocation list of key %s is not valid before %s", c.keyID.Short(), c.thisUpdate.UTC().Format(time.RFC3339))
	}
	if now.After(c.nextUpdate) {
		return refusal.New(refusal.RevocationUnknown, "the revocation list of key %s is outdated since %s", c.keyID.Short(), c.nextUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}
