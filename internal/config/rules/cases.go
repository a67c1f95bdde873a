package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Case is a request with the decision that an operator expects.
type Case struct {
	Line   int
	Name   string // unique in its document
	Client string
	Method string
	Path   string // as in the request line, with a query if there is one
	Allow  bool   // whether the request must be allowed
	Rule   string // that must allow it, or empty for any rule
	// Reason is the reason for which the request must be refused, or empty for any.
	Reason refusal.Reason
}

// caseFields are the fields of a case.
var caseFields = [...]string{"name", "client", "method", "path", "expect", "rule", "reason"}

// ParseCases parses one document with test cases:
//
//	cases:
//	  - name: mail adds an event
//	    client: mail
//	    method: POST
//	    path: /events
//	    expect: allow
//	    rule: apps-add-events
//	  - name: dashboards only read
//	    client: web-client
//	    method: DELETE
//	    path: /events/1
//	    expect: refuse
//	    reason: access_denied
//
// The fields rule and reason are optional. Faults are reported as those of [Parse].
func ParseCases(name string, text []byte) ([]Case, error) {
	r := reader{want: "the field cases"}
	var cases []Case
	if root := r.parseYAML(text); root != nil {
		cases = r.readCases(root)
	}
	if err := r.err(name); err != nil {
		return nil, err
	}
	return cases, nil
}

// readCases reads the top level of a document with cases.
func (r *reader) readCases(root *yaml.Node) (cases []Case) {
	const want = "a list of at least one case"
	top, ok := r.mapping(root, r.want, "cases")
	if !ok {
		return nil
	}
	list := top["cases"]
	if list.key == nil {
		r.addFault(root.Line, "want the field cases with %s, found none", want)
		return nil
	}
	nodes, ok := r.sequence(list.value, want)
	if ok && len(nodes) == 0 {
		r.addFault(list.key.Line, "want %s, found none", want)
	}
	lines := map[string]int{}
	for _, n := range nodes {
		e, fields, ok := r.readEntry(n, "a case with the fields name, client, method, path and expect", caseFields[:]...)
		if !ok {
			continue
		}
		c := r.readCase(e, fields)
		if first, again := lines[c.Name]; again && c.Name != "" {
			r.addFault(n.Line, "want a name that no other case has, found %.40q again after line %d", c.Name, first)
		}
		lines[c.Name] = n.Line
		cases = append(cases, c)
	}
	return cases
}

// readCase reads one case.
func (r *reader) readCase(e entry, fields map[string]mappingField) Case {
	c := Case{
		Line:   e.startLine,
		Name:   r.caseField(e, fields, "name", "the name of the case"),
		Client: r.caseField(e, fields, "client", "the name of a client"),
		Method: r.caseField(e, fields, "method", "a method such as GET"),
		Path:   r.caseField(e, fields, "path", "a path such as /events"),
		Rule:   r.textField(e, fields["rule"], "the name of a rule"),
		Reason: refusal.Reason(r.textField(e, fields["reason"], "a reason such as access_denied")),
	}
	if c.Client != "" && identity.CheckAny(c.Client) != nil {
		r.addFault(fields["client"].key.Line, "client %.40q: %v", c.Client, identity.CheckAny(c.Client))
	}
	if strings.ContainsAny(c.Method, " \t/,|*") {
		r.addFault(fields["method"].key.Line, "want one method such as GET, found %.40q", c.Method)
	}
	r.readExpectation(e, fields, &c)
	return c
}

// caseField returns the text of a field that is required.
func (r *reader) caseField(e entry, fields map[string]mappingField, name, want string) string {
	if fields[name].key == nil && !e.invalid {
		r.addFault(e.startLine, "want the field %s with %s, found none", name, want)
	}
	return r.textField(e, fields[name], want)
}

// readExpectation reads the field expect, and checks the fields that depend on it.
func (r *reader) readExpectation(e entry, fields map[string]mappingField, c *Case) {
	const want = "allow or refuse"
	text := r.caseField(e, fields, "expect", want)
	switch text {
	case "": // caseField has added a fault
		return
	case "allow", "refuse":
		c.Allow = text == "allow"
	default:
		r.addFault(fields["expect"].key.Line, "want %s, found %.40q", want, text)
		return
	}
	if key := fields["reason"].key; key != nil && c.Allow {
		r.addFault(key.Line, "want the field reason only with expect: refuse, found it with expect: allow")
	}
	if key := fields["rule"].key; key != nil && !c.Allow {
		r.addFault(key.Line, "want the field rule only with expect: allow, found it with expect: refuse")
	}
	if c.Reason != "" && !slices.Contains(caseReasons(), c.Reason) {
		r.addFault(fields["reason"].key.Line, "want a reason that depends on rules, client, method and path, one of %v, found %.40q", caseReasons(), c.Reason)
	}
}

// caseReasons returns the reasons for which a case can be refused. Others depend on the
// certificate, on the signature or on the gateway's load.
func caseReasons() []refusal.Reason {
	return []refusal.Reason{refusal.AccessDenied, refusal.IdentityOutOfScope, refusal.PathAmbiguous}
}

// String returns the expectation as text.
func (c Case) String() string {
	switch {
	case c.Allow && c.Rule != "":
		return fmt.Sprintf("allowed by rule %s", c.Rule)
	case c.Allow:
		return "allowed"
	case c.Reason != "":
		return fmt.Sprintf("refused with reason %s", c.Reason)
	default:
		return "refused"
	}
}
