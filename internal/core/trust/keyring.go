package trust

import (
	"bytes"
	"fmt"
	"slices"
)

// MaxAnchors is the maximum number of anchors in a keyring. It bounds the number of
// signatures that the gateway checks for one certificate.
const MaxAnchors = 8

// Keyring is the set of 1 to [MaxAnchors] anchors. It is immutable. Nil and the zero
// value have no anchor, so no certificate can be verified with them.
type Keyring struct {
	anchors  []Anchor
	warnings []string
}

// Warnings returns messages about probable mistakes that are not errors, such as a key
// that occurs twice. Each contains the number of a block and its line, and none quotes
// the text.
func (k *Keyring) Warnings() []string {
	if k == nil {
		return nil
	}
	return slices.Clone(k.warnings)
}

// Anchors returns a copy of the anchors in the order of the parsed text.
func (k *Keyring) Anchors() []Anchor {
	if k == nil {
		return nil
	}
	return append([]Anchor(nil), k.anchors...)
}

// ParseKeyring reads 1 to [MaxAnchors] PEM blocks of type "PUBLIC KEY", "RSA PUBLIC
// KEY" or "CERTIFICATE" (of a CA).
//
// .env files, shells and dashboards often lose newlines, so PEM with literal \n
// sequences is accepted, PEM with a single space for every newline, and the base64 of
// the PEM. Only blank lines and lines that begin with '#' may stand between blocks. A
// damaged block is an error and is never skipped.
//
// RSA keys shorter than minRSABits, or longer than 8192 bits, are refused; 0 means
// [DefaultMinRSABits]. Errors contain the number of the block and its line and never
// quote the text. A key that occurs twice is a warning: see [Keyring.Warnings].
func ParseKeyring(text []byte, minRSABits int) (*Keyring, error) {
	normal, err := normalizePEM(text)
	if err != nil {
		return nil, err
	}
	blocks, err := splitPEM(normal)
	if err != nil {
		return nil, err
	}
	ring := &Keyring{}
	firstBlocks := map[KeyID]int{}
	for i, b := range blocks {
		position := fmt.Sprintf("block %d (line %d)", i+1, b.line)
		anchor, err := newAnchor(b.block, minRSABits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", position, err)
		}
		if first, again := firstBlocks[anchor.id]; again {
			ring.warnings = append(ring.warnings, fmt.Sprintf("%s: found the key of block %d again, %s", position, first, ring.duplicateEffect(anchor)))
			if ring.contains(anchor) {
				continue
			}
		} else {
			firstBlocks[anchor.id] = i + 1
		}
		ring.anchors = append(ring.anchors, anchor)
		if len(ring.anchors) > MaxAnchors {
			return nil, fmt.Errorf("want at most %d keys, found %d or more", MaxAnchors, len(ring.anchors))
		}
	}
	return ring, nil
}

// contains reports whether the keyring has the same bare key or the same certificate. A
// bare key and a CA certificate with that key are two anchors. Two certificates of one
// CA are two anchors as well, because one of them may have expired.
func (k *Keyring) contains(anchor Anchor) bool {
	return slices.ContainsFunc(k.anchors, func(a Anchor) bool {
		return a.id == anchor.id && a.bare == anchor.bare && bytes.Equal(a.issuer.Raw, anchor.issuer.Raw)
	})
}

// duplicateEffect describes the effect of a key that occurs again.
func (k *Keyring) duplicateEffect(anchor Anchor) string {
	if k.contains(anchor) {
		return "which has no effect"
	}
	return "in another form: certificates that either of them accepts are accepted"
}
