package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Part describes one part of the configuration that decisions, or comparisons with next
// rules, depend on. Operators compare its digest between gateways.
type Part struct {
	Name   string // "keys", "rules", "denials", "crls", "next_rules", "next_denials" or "assertion_keys"
	Count  int
	Digest string // of the meaning of the content, see [Config.Inventory]; 16 hex digits
}

// Inventory returns the parts of the configuration that decisions depend on: keys,
// rules, deny list and revocation lists, in this order. Next rules with their deny list and
// the assertion keys follow if there are any. The digest of a part depends on
// its meaning: layout, comments, reasons in the deny list and the order of keys, deny
// list entries and files do not change it. The digest of the revocation lists is an
// exception and changes with every byte of their files.
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
	parts := []Part{
		{"keys", len(keys), digest(keys)},
		{"rules", c.Rules.RuleCount, digest([]string{c.Rules.RulesDigest})},
		{"denials", c.Rules.DenyCount, digest(c.Rules.Denials)},
		{"crls", len(c.CRLs), digest(lists)},
	}
	if c.Next != nil {
		parts = append(parts,
			Part{"next_rules", c.Next.RuleCount, digest([]string{c.Next.RulesDigest})},
			Part{"next_denials", c.Next.DenyCount, digest(c.Next.Denials)})
	}
	if len(c.AssertionKeys) > 0 {
		parts = append(parts, Part{"assertion_keys", len(c.AssertionKeys), digest(assertionKeyIDs(c.AssertionKeys))})
	}
	return parts
}

// Digest returns one digest of the whole [Config.Inventory].
func (c Config) Digest() string {
	var list []string
	for _, p := range c.Inventory() {
		list = append(list, p.Name+" "+p.Digest)
	}
	return digest(list)
}

// UpstreamInventory returns the certificates for TLS to the upstream, on which decisions do
// not depend: "upstream_ca" and "upstream_certificate", if they are configured.
func (c Config) UpstreamInventory() (parts []Part) {
	add := func(name string, ders [][]byte) {
		if len(ders) == 0 {
			return
		}
		var sums []string
		for _, der := range ders {
			sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(der)))
		}
		parts = append(parts, Part{name, len(ders), digest(sums)})
	}
	var authorities [][]byte
	if c.UpstreamFiles.CA != "" {
		list, _ := parseCertificates(c.UpstreamFiles.CAText) // valid, or it would not be in force
		for _, ca := range list {
			authorities = append(authorities, ca.Raw)
		}
	}
	add("upstream_ca", authorities)
	if pair := c.UpstreamSecurity.Certificate; pair != nil {
		add("upstream_certificate", pair.Certificate)
	}
	return parts
}

// digest returns a digest that does not depend on the order of the list. No element
// contains a newline.
func digest(list []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(list)), "\n")))
	return hex.EncodeToString(sum[:])[:16]
}
