package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Part is one kind of content that decisions are made from. Its digest lets an
// operator compare gateways.
type Part struct {
	Name   string // "keys", "rules", "denials" or "crls"
	Count  int
	Digest string // of what the content means, 16 hex digits
}

// Inventory is what decisions are made from: the keys, the rules, what is denied,
// and the revocation lists, in this order. A digest changes with what a part says,
// except that the digest of the revocation lists changes with any byte of their
// files. Layout and comments of keys and rules, the reasons of denials and the
// order of keys, denials and files do not matter.
func (c Config) Inventory() []Part {
	var keys, lists []string
	for _, a := range c.Keyring.Anchors() {
		key := a.ID().String()
		if ca := a.Certificate(); ca != nil {
			key = fmt.Sprintf("certificate %x", sha256.Sum256(ca.Raw))
		}
		keys = append(keys, key)
	}
	for _, file := range c.CRLTexts {
		lists = append(lists, fmt.Sprintf("%x", sha256.Sum256(file.Text)))
	}
	return []Part{
		{"keys", len(keys), digest(keys)},
		{"rules", c.Rules.RuleCount, digest([]string{c.Rules.RulesDigest})},
		{"denials", c.Rules.DenyCount, digest(c.Rules.Denials)},
		{"crls", len(c.CRLs), digest(lists)},
	}
}

// digest does not depend on the order of the list. No element has a newline.
func digest(list []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(list)), "\n")))
	return hex.EncodeToString(sum[:])[:16]
}
