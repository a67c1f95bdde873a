package rules

import (
	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/trust"
)

// contents is what a document says, and beside each list where it says so.
type contents struct {
	rules       []access.Rule
	ruleEntries []entry

	denied        []access.Denied
	deniedEntries []entry

	revoked        []trust.Revocation
	revokedEntries []entry
}

// entry is where one element of a list stands. A broken one had a fault in the
// names of its fields, so that the absence of a field is none.
type entry struct {
	at     int
	fields map[string]field
	broken bool
}

// field is where one field of an entry stands. A broken one had a fault of its
// own, so that its absence is none.
type field struct {
	at     int
	items  []int
	broken bool
}

// line is the best line for a fault. It is known already when it may be no more
// than the consequence of a fault that was reported while reading.
func (e entry) line(name string, item int) (line int, known bool) {
	if name == "" {
		known = e.broken
		for _, f := range e.fields {
			known = known || f.broken
		}
		return e.at, known
	}
	f, ok := e.fields[name]
	switch {
	case !ok:
		return e.at, e.broken
	case item >= 0 && item < len(f.items):
		return f.items[item], false
	}
	return f.at, f.broken
}

func (r *reader) contents(root *yaml.Node) contents {
	var c contents
	top, ok := r.mapping(root, "the fields rules and deny", "rules", "deny")
	if !ok {
		return c
	}
	r.rules(&c, root, top["rules"])
	r.deny(&c, top["deny"])
	return c
}

func (r *reader) rules(c *contents, root *yaml.Node, list pair) {
	const want = "a list of at least one rule"
	if list.key == nil {
		r.fault(root.Line, "want the field rules with %s, found none", want)
		return
	}
	nodes, ok := r.sequence(list.value, want)
	if ok && len(nodes) == 0 {
		r.fault(list.key.Line, "want %s, found none", want)
	}
	for _, n := range nodes {
		e, fields, ok := r.entry(n, "a rule with the fields name, clients and allow", "name", "clients", "allow", "rate", "burst", "proof")
		if !ok {
			continue
		}
		c.rules = append(c.rules, access.Rule{
			Name:    r.text(e, fields["name"], "the rule's name"),
			Clients: r.texts(e, fields["clients"], "a list of client names such as [mail, social]"),
			Allow:   r.texts(e, fields["allow"], `a list of patterns such as ["GET /events"]`),
			Rate:    r.text(e, fields["rate"], "a rate such as 200/s"),
			Burst:   r.text(e, fields["burst"], "a whole number"),
			Proof:   r.text(e, fields["proof"], "require, observe or off"),
		})
		c.ruleEntries = append(c.ruleEntries, e)
	}
}

// denyFields are the fields of which a denied entry has exactly one.
const denyFields = "client, serial, spki and certificate"

// deny reads the deny list. The field without a value is a fault, because a file
// that was cut off while it was written looks like that.
func (r *reader) deny(c *contents, list pair) {
	if list.key == nil {
		return
	}
	if isNull(list.value) {
		if r.isPlain(list.value) {
			r.fault(list.key.Line, "want at least one entry below deny, or deny: [] for none, found nothing")
		}
		return
	}
	nodes, _ := r.sequence(list.value, "a list of clients, serials, spkis and certificates to deny")
	for _, n := range nodes {
		e, fields, ok := r.entry(n, "an entry with one of the fields "+denyFields, "client", "serial", "spki", "certificate", "reason")
		if ok {
			r.denyEntry(c, e, fields)
		}
	}
}

func (r *reader) denyEntry(c *contents, e entry, fields map[string]pair) {
	client := r.text(e, fields["client"], "a client's name")
	serial := r.text(e, fields["serial"], "a serial number in hex such as 4f3a09")
	spki := r.text(e, fields["spki"], "sha256/ and the base64 of 32 bytes")
	certificate := r.text(e, fields["certificate"], "the SHA-256 of the signed part of a certificate, 64 hex digits")
	reason := ""
	if why := fields["reason"]; why.key != nil && !isNull(why.value) {
		reason = r.text(e, why, "the reason")
	}
	named := len(fields)
	if fields["reason"].key != nil {
		named--
	}
	switch {
	case e.broken:
	case named != 1:
		r.fault(e.at, "want exactly one of the fields "+denyFields+", found %d", named)
	case client != "":
		c.denied = append(c.denied, access.Denied{Client: client, Reason: reason})
		c.deniedEntries = append(c.deniedEntries, e)
	case serial != "" || spki != "" || certificate != "":
		c.revoked = append(c.revoked, trust.Revocation{Serial: serial, SPKI: spki, Certificate: certificate, Reason: reason})
		c.revokedEntries = append(c.revokedEntries, e)
	}
}

// entry is one element of a list that is a mapping.
func (r *reader) entry(n *yaml.Node, want string, known ...string) (entry, map[string]pair, bool) {
	before := len(r.faults)
	fields, ok := r.mapping(n, want, known...)
	return entry{at: n.Line, fields: map[string]field{}, broken: len(r.faults) > before}, fields, ok
}

// text is the text of a scalar field, and "" without the field or with a fault.
func (r *reader) text(e entry, p pair, want string) string {
	if p.key == nil {
		return ""
	}
	text, ok := r.scalar(p.value, want)
	e.fields[p.key.Value] = field{at: p.key.Line, broken: !ok}
	return text
}

// texts is the texts of a field that is a list, without those that have a
// fault.
func (r *reader) texts(e entry, p pair, want string) []string {
	if p.key == nil {
		return nil
	}
	nodes, ok := r.sequence(p.value, want)
	f := field{at: p.key.Line, broken: !ok}
	var texts []string
	for _, n := range nodes {
		text, ok := r.scalar(n, want)
		if !ok {
			f.broken = true
			continue
		}
		texts = append(texts, text)
		f.items = append(f.items, n.Line)
	}
	e.fields[p.key.Value] = f
	return texts
}
