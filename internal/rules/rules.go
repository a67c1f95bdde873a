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
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/certgate/certgate/internal/access"
	"github.com/certgate/certgate/internal/trust"
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
// It fails closed: with any fault there is no document. The error joins every
// fault, each an [*Error], in the order of lines. No text, no rules, unknown
// and repeated fields, a second document and values of the wrong type are
// faults, and all that [access.Compile] and [trust.NewRevocations] refuse.
func Parse(name string, text []byte) (Document, error) {
	r := reader{}
	var content contents
	if root := r.load(text); root != nil {
		content = r.contents(root)
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
	}, nil
}

// reader collects faults while it reads.
type reader struct{ faults []*Error }

func (r *reader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, &Error{Line: max(line, 1), Problem: fmt.Sprintf(format, args...)})
}

// err joins the faults, or is nil when there are none.
func (r *reader) err(name string) error {
	slices.SortStableFunc(r.faults, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	var all []error
	for _, fault := range r.faults {
		fault.Name = name
		all = append(all, fault)
	}
	return errors.Join(all...)
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
