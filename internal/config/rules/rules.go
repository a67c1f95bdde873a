// Package rules reads the access rules and the deny list that an operator
// writes in YAML.
//
//	groups:
//	  apps: [mail, social]
//	anchors:
//	  - key: 0cb188679ec184ae
//	    identity: uri
//	    clients: ["spiffe://partner.example/*"]
//	rules:
//	  - name: apps-add-events
//	    clients: ["@apps", "spiffe://partner.example/calendar"]
//	    allow: ["POST /events"]
//	    rate: 200/s
//	    burst: 400
//	    proof: require
//	deny:
//	  - client: social
//	    reason: key leaked 2026-11-02
//	  - serial: "4f3a09"
//	  - spki: "sha256/<base64>"
//	  - certificate: "<64 hex digits>"
//
// [Parse] accepts a whole document or nothing. Package access defines the meaning of
// rules, package identity that of anchors and package trust that of revocations; this
// package maps their errors to lines of the document. [Document.CheckAnchors] compares a
// document with the keyring. [ParseCases] reads test cases for rules, in the same subset of
// YAML.
//
// Only a subset of YAML is accepted: anchors, aliases, merge keys and tags are faults,
// so that the complete meaning of a rule is visible in the rule itself. The value of a
// scalar is its text, quoted or not: the serial 1e5 has these three characters.
package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// Document is the content of a YAML document. The zero value has a nil Policy, which
// grants nothing.
type Document struct {
	// Policy has the rules and the denied clients.
	Policy *access.Policy
	// Revocations has the denied serial numbers, keys and certificates.
	Revocations *trust.Revocations
	// Names reads the names of clients, with the scopes of the listed anchors.
	Names *identity.Reader
	// RuleCount and DenyCount are the numbers of entries.
	RuleCount, DenyCount int
	// RulesDigest is the hex SHA-256 of the rules, their order and the scopes of anchors.
	// It does not depend on layout, comments, groups and the deny list.
	RulesDigest string
	// Denials lists the denied clients, serial numbers, keys and certificates in a
	// canonical form, such as `client "social"` or "serial 4f3a09", sorted and without
	// duplicates.
	Denials []string
	// Reasons has the reason of each element of Denials, or "".
	Reasons map[string]string
	// Rules are the rules as written, with the clients of groups.
	Rules []access.Rule

	name    string
	anchors []anchorLine
	named   []namedClient // every client in a rule
}

// Error is one fault in a document. Its text never quotes more than 80
// characters of the document.
type Error struct {
	Name    string // of the document, as given to Parse
	Line    int    // from 1
	Problem string // "want …, found …"
}

// Error returns one line, "NAME:LINE: problem".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Problem) }

// Parse parses one document. Errors contain name, such as the name of the file. Names of
// clients must have the form of the source, or of the source of a listed anchor.
//
// Parse fails closed: with any fault it returns no document. The error joins the first
// [MaxFaults] faults, each an [*Error], in the order of lines, and the number of further
// faults. Faults are an empty text, missing rules, an empty deny list without [],
// unknown and repeated fields, groups that are unknown, empty or not used, a second
// document, values of the wrong type, and the errors of [access.Compile],
// [identity.NewReader] and [trust.NewRevocations].
func Parse(name string, text []byte, source identity.Source) (Document, error) {
	r := reader{want: "the fields rules and deny", source: source, seen: map[string]bool{}}
	content := r.read(text)
	if len(r.faults) >= MaxFaults {
		return Document{}, r.err(name) // further faults would not be reported
	}
	policy, err := access.Compile(content.rules, content.denied)
	r.addRuleErrors(content, err)
	revocations, err := trust.NewRevocations(content.revoked)
	r.addRevocationErrors(content, err)
	names, err := identity.NewReader(source, content.scopes)
	r.addScopeErrors(content, err)
	if err := r.err(name); err != nil {
		return Document{}, err
	}
	reasons := denialReasons(content.denied, revocations)
	return Document{
		Policy:      policy,
		Revocations: revocations,
		Names:       names,
		RuleCount:   len(content.rules),
		DenyCount:   len(content.denied) + len(content.revoked),
		RulesDigest: rulesDigest(content.rules, content.scopes),
		Denials:     slices.Sorted(maps.Keys(reasons)),
		Reasons:     reasons,
		Rules:       content.rules,
		name:        name,
		anchors:     content.anchorLines(),
		named:       r.named,
	}, nil
}

// read returns the contents of a document, or the zero value after a fault.
func (r *reader) read(text []byte) contents {
	root := r.parseYAML(text)
	if root == nil {
		return contents{}
	}
	return r.readContents(root)
}

// rulesDigest returns the hex SHA-256 of the rules in their order and of the scopes.
func rulesDigest(list []access.Rule, scopes []identity.Scope) string {
	h := sha256.New()
	for _, rule := range list {
		// Quoting makes the serialization of different rules different.
		_, _ = fmt.Fprintf(h, "%q %q %q %q %q %q\n", rule.Name, rule.Clients, rule.Allow, rule.Rate, rule.Burst, rule.Proof)
	}
	for _, scope := range scopesText(scopes) {
		_, _ = fmt.Fprintf(h, "anchor %s\n", scope)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// denialReasons returns [Document.Reasons]. The first of several entries for a client
// applies, as in [access.Compile].
func denialReasons(clients []access.Denied, revoked *trust.Revocations) map[string]string {
	list := revoked.Reasons()
	for _, d := range clients {
		entry := fmt.Sprintf("client %q", d.Client)
		if _, found := list[entry]; !found {
			list[entry] = d.Reason
		}
	}
	return list
}

// addRuleErrors adds the errors of [access.Compile] with their lines.
func (r *reader) addRuleErrors(c contents, err error) {
	for _, e := range unjoin(err) {
		fault, ok := errors.AsType[*access.RuleError](e)
		if !ok {
			r.addFault(1, "%v", e)
			continue
		}
		entries := c.ruleEntries
		if fault.List == "deny" {
			entries = c.deniedEntries
		}
		if line, known := entries[fault.Index].faultLine(fault.Field, fault.Item); !known {
			r.addFault(line, "%s", fault.Problem)
		}
	}
}

// addRevocationErrors adds the errors of [trust.NewRevocations] with their lines.
func (r *reader) addRevocationErrors(c contents, err error) {
	for _, e := range unjoin(err) {
		fault, ok := errors.AsType[*trust.RevocationError](e)
		if !ok {
			r.addFault(1, "%v", e)
			continue
		}
		e := c.revokedEntries[fault.Index]
		line := max(e.fields["serial"].startLine, e.fields["spki"].startLine, e.fields["certificate"].startLine) // the lines of absent fields are 0
		r.addFault(line, "%s", fault.Problem)
	}
}

// unjoin returns the errors inside a joined error.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	type joined interface {
		error
		Unwrap() []error
	}
	if j, ok := errors.AsType[joined](err); ok {
		return j.Unwrap()
	}
	return []error{err}
}
