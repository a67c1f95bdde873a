// Package rules reads the access rules and the deny list that an operator
// writes in YAML.
//
//	rules:
//	  - name: apps-add-events
//	    clients: [mail, social]
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
// [Parse] takes a whole document or nothing. What rules mean is the business of
// package access, what revocations mean is that of package trust; this package
// knows lines, fields and how to say where a fault is.
//
// Only plain YAML is read: anchors, aliases, merge keys and tags are refused,
// so that what a rule says is written where the rule is. A scalar is taken as
// its text, quoted or not: the serial 1e5 is those three characters.
package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/trust"
)

// Document is what one YAML document says. The zero value has a nil Policy,
// which grants nothing.
type Document struct {
	// Policy has the rules and the denied clients.
	Policy *access.Policy
	// Revocations has the denied serial numbers, keys and certificates.
	Revocations *trust.Revocations
	// RuleCount and DenyCount are the numbers of entries.
	RuleCount, DenyCount int
	// RulesDigest is the hex SHA-256 of the rules. It depends on what they say
	// and on their order, and neither on layout and comments nor on the deny list.
	RulesDigest string
	// Denials are the denied clients, serial numbers, keys and certificates in a
	// canonical form, such as `client "social"` or "serial 4f3a09", sorted and
	// each once.
	Denials []string
}

// Error is one fault in a document. Its text never quotes more than 80
// characters of the document.
type Error struct {
	Name    string // of the document, as given to Parse
	Line    int    // from 1
	Problem string // what is wanted and what was found
}

// Error is one line, "NAME:LINE: problem".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Problem) }

// Parse reads one document; name is what errors call it, such as its file name.
//
// It fails closed: with any fault there is no document. The error joins the first
// [MaxFaults] faults, each an [*Error], in the order of lines, and says how many
// more there are. No text, no rules, an empty deny list without [], unknown and
// repeated fields, a second document and values of the wrong type are faults, and
// all that [access.Compile] and [trust.NewRevocations] refuse.
func Parse(name string, text []byte) (Document, error) {
	r := reader{}
	content := r.read(text)
	if len(r.faults) >= MaxFaults {
		return Document{}, r.err(name) // more of them would not be reported
	}
	policy, err := access.Compile(content.rules, content.denied)
	r.ruleErrors(content, err)
	revocations, err := trust.NewRevocations(content.revoked)
	r.revocationErrors(content, err)
	if err := r.err(name); err != nil {
		return Document{}, err
	}
	return Document{
		Policy:      policy,
		Revocations: revocations,
		RuleCount:   len(content.rules),
		DenyCount:   len(content.denied) + len(content.revoked),
		RulesDigest: digest(content.rules),
		Denials:     denials(content.denied, revocations),
	}, nil
}

// read is the contents of a text, or the zero value after a fault.
func (r *reader) read(text []byte) contents {
	root := r.load(text)
	if root == nil {
		return contents{}
	}
	return r.contents(root)
}

func digest(list []access.Rule) string {
	h := sha256.New()
	for _, rule := range list {
		// Every text is quoted, so that no two rules are written alike.
		_, _ = fmt.Fprintf(h, "%q %q %q %q %q %q\n", rule.Name, rule.Clients, rule.Allow, rule.Rate, rule.Burst, rule.Proof)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func denials(clients []access.Denied, revoked *trust.Revocations) []string {
	list := revoked.Entries()
	for _, d := range clients {
		list = append(list, fmt.Sprintf("client %q", d.Client))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ruleErrors gives the faults that access found their lines.
func (r *reader) ruleErrors(c contents, err error) {
	for _, e := range parts(err) {
		fault, ok := errors.AsType[*access.RuleError](e)
		if !ok {
			r.fault(1, "%v", e)
			continue
		}
		entries := c.ruleEntries
		if fault.List == "deny" {
			entries = c.deniedEntries
		}
		if line, known := entries[fault.Index].line(fault.Field, fault.Item); !known {
			r.fault(line, "%s", fault.Problem)
		}
	}
}

// revocationErrors gives the faults that trust found their lines.
func (r *reader) revocationErrors(c contents, err error) {
	for _, e := range parts(err) {
		fault, ok := errors.AsType[*trust.RevocationError](e)
		if !ok {
			r.fault(1, "%v", e)
			continue
		}
		e := c.revokedEntries[fault.Index]
		line := max(e.fields["serial"].at, e.fields["spki"].at, e.fields["certificate"].at) // all but one are absent
		r.fault(line, "%s", fault.Problem)
	}
}

// parts takes a joined error apart.
func parts(err error) []error {
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
