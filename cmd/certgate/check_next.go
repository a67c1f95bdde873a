package main

import (
	"fmt"

	"github.com/certgate/certgate/internal/config"
)

// checkNext describes the next rules. The digests are those that the rules in force have
// after the promotion.
type checkNext struct {
	File    string `json:"file"` // empty for ACCESS_RULES_NEXT
	Missing bool   `json:"missing"`
	Rules   int    `json:"rules"`
	Denied  int    `json:"denied"`
	// RulesDigest and DenialsDigest are empty if the file is missing or empty. RulesDiffer
	// and DenialsDiffer report whether they are not those of the rules in force.
	RulesDigest   string `json:"rules_digest"`
	DenialsDigest string `json:"denials_digest"`
	RulesDiffer   bool   `json:"rules_differ"`
	DenialsDiffer bool   `json:"denials_differ"`
}

// newCheckNext returns nil if no setting names next rules.
func newCheckNext(c config.Config) *checkNext {
	if c.Next == nil && c.NextFile == "" {
		return nil
	}
	if c.Next == nil {
		return &checkNext{File: c.NextFile, Missing: true}
	}
	parts := map[string]config.Part{}
	for _, p := range c.Inventory() {
		parts[p.Name] = p
	}
	rules, denials := parts["next_rules"], parts["next_denials"]
	return &checkNext{
		File: c.NextFile, Rules: rules.Count, Denied: denials.Count, RulesDigest: rules.Digest, DenialsDigest: denials.Digest,
		RulesDiffer: rules.Digest != parts["rules"].Digest, DenialsDiffer: denials.Digest != parts["denials"].Digest,
	}
}

// nextSummary returns the next rules as text. It returns "" if there is no setting for them.
func (r checkReport) nextSummary() string {
	n := r.Next
	if n == nil {
		return ""
	}
	if n.Missing {
		return fmt.Sprintf("next rules: none, %s is missing or empty\n", printable(n.File))
	}
	comparison := map[bool]string{true: "other", false: "the same"}
	return fmt.Sprintf("next rules: %s, %d denied: %s rules and %s deny list\ndigests: next_rules %s, next_denials %s\n",
		count(n.Rules, "rule"), n.Denied, comparison[n.RulesDiffer], comparison[n.DenialsDiffer], n.RulesDigest, n.DenialsDigest)
}
