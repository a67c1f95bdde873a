package rules

import (
	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// contents is the content of a document, with the lines of each list's elements.
type contents struct {
	rules       []access.Rule
	ruleEntries []entry

	denied        []access.Denied
	deniedEntries []entry

	revoked        []trust.Revocation
	revokedEntries []entry

	scopes       []identity.Scope
	scopeEntries []entry
}

// entry has the lines of one element of a list. An invalid entry has a fault in its
// field names; a missing field is not reported for it.
type entry struct {
	startLine int
	fields    map[string]field
	invalid   bool
}

// field has the lines of one field of an entry. The fault of an invalid field has been
// reported; its absence is not reported in addition.
type field struct {
	startLine int
	items     []int
	invalid   bool
}

// faultLine returns the most specific line for a fault in a field or in one of its
// items. Known reports whether the fault may be a consequence of a fault that has been
// reported before.
func (e entry) faultLine(name string, item int) (line int, known bool) {
	if name == "" {
		known = e.invalid
		for _, f := range e.fields {
			known = known || f.invalid
		}
		return e.startLine, known
	}
	f, ok := e.fields[name]
	switch {
	case !ok:
		return e.startLine, e.invalid
	case item >= 0 && item < len(f.items):
		return f.items[item], false
	}
	return f.startLine, f.invalid
}

// readContents reads the top level of a document. The anchors precede all other names of
// clients, because they determine which names are valid, and the groups precede the lists
// that refer to them.
func (r *reader) readContents(root *yaml.Node) contents {
	var c contents
	top, ok := r.mapping(root, r.want, "rules", "groups", "anchors", "deny")
	if !ok {
		return c
	}
	anchors := r.readAnchors(top["anchors"])
	r.readGroups(top["groups"])
	r.addScopes(&c, anchors)
	r.readRules(&c, root, top["rules"])
	r.readDenyList(&c, top["deny"])
	r.checkGroupsUsed()
	return c
}

// readRules reads the list of rules.
func (r *reader) readRules(c *contents, root *yaml.Node, list mappingField) {
	const want = "a list of at least one rule"
	if list.key == nil {
		r.addFault(root.Line, "want the field rules with %s, found none", want)
		return
	}
	nodes, ok := r.sequence(list.value, want)
	if ok && len(nodes) == 0 {
		r.addFault(list.key.Line, "want %s, found none", want)
	}
	for _, n := range nodes {
		e, fields, ok := r.readEntry(n, "a rule with the fields name, clients and allow", "name", "clients", "allow", "rate", "burst", "proof")
		if !ok {
			continue
		}
		c.rules = append(c.rules, access.Rule{
			Name:    r.textField(e, fields["name"], "the rule's name"),
			Clients: r.ruleClients(e, fields["clients"]),
			Allow:   r.textListField(e, fields["allow"], `a list of patterns such as ["GET /events"]`),
			Rate:    r.textField(e, fields["rate"], "a rate such as 200/s"),
			Burst:   r.textField(e, fields["burst"], "a whole number"),
			Proof:   r.textField(e, fields["proof"], "require, observe or off"),
		})
		c.ruleEntries = append(c.ruleEntries, e)
	}
}

// denyFields are the selectors of the deny list. An entry has exactly one of them.
const denyFields = "client, serial, spki and certificate"

// readDenyList reads the deny list.
func (r *reader) readDenyList(c *contents, list mappingField) {
	if !r.requireValue(list, "deny: []") {
		return
	}
	nodes, _ := r.sequence(list.value, "a list of clients, serials, spkis and certificates to deny")
	for _, n := range nodes {
		e, fields, ok := r.readEntry(n, "an entry with one of the fields "+denyFields, "client", "serial", "spki", "certificate", "reason")
		if ok {
			r.readDenyEntry(c, e, fields)
		}
	}
}

// readDenyEntry reads one element of the deny list.
func (r *reader) readDenyEntry(c *contents, e entry, fields map[string]mappingField) {
	client := r.textField(e, fields["client"], "a client's name")
	serial := r.textField(e, fields["serial"], "a serial number in hex such as 4f3a09")
	spki := r.textField(e, fields["spki"], "sha256/ and the base64 of 32 bytes")
	certificate := r.textField(e, fields["certificate"], "the SHA-256 of the signed part of a certificate, 64 hex digits")
	reason := ""
	if given := fields["reason"]; given.key != nil && !isNull(given.value) {
		reason = r.textField(e, given, "the reason")
	}
	named := len(fields)
	if fields["reason"].key != nil {
		named--
	}
	switch {
	case e.invalid:
	case named != 1:
		r.addFault(e.startLine, "want exactly one of the fields "+denyFields+", found %d", named)
	case client != "":
		for _, name := range r.deniedClients(e, client) {
			c.denied = append(c.denied, access.Denied{Client: name, Reason: reason})
			c.deniedEntries = append(c.deniedEntries, e)
		}
	case serial != "" || spki != "" || certificate != "":
		c.revoked = append(c.revoked, trust.Revocation{Serial: serial, SPKI: spki, Certificate: certificate, Reason: reason})
		c.revokedEntries = append(c.revokedEntries, e)
	}
}

// readEntry reads an element of a list that has to be a mapping.
func (r *reader) readEntry(n *yaml.Node, want string, known ...string) (entry, map[string]mappingField, bool) {
	before := len(r.faults)
	fields, ok := r.mapping(n, want, known...)
	return entry{startLine: n.Line, fields: map[string]field{}, invalid: len(r.faults) > before}, fields, ok
}

// textField returns the text of a scalar field, or "" if it is absent or has a fault.
func (r *reader) textField(e entry, p mappingField, want string) string {
	if p.key == nil {
		return ""
	}
	text, ok := r.scalar(p.value, want)
	e.fields[p.key.Value] = field{startLine: p.key.Line, invalid: !ok}
	return text
}

// textListField returns the texts of a list field, except items with a fault.
func (r *reader) textListField(e entry, p mappingField, want string) []string {
	if p.key == nil {
		return nil
	}
	nodes, ok := r.sequence(p.value, want)
	f := field{startLine: p.key.Line, invalid: !ok}
	var texts []string
	for _, n := range nodes {
		text, ok := r.scalar(n, want)
		if !ok {
			f.invalid = true
			continue
		}
		texts = append(texts, text)
		f.items = append(f.items, n.Line)
	}
	e.fields[p.key.Value] = f
	return texts
}
