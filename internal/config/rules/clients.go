package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
)

// groupMark is the first character of a reference to a group. No client name of any
// source begins with it.
const groupMark = "@"

// group is a named list of clients.
type group struct {
	line    int
	clients []string // valid names
	used    bool
}

// namedClient is a client that a rule names.
type namedClient struct {
	name string
	line int
}

// readGroups reads the groups.
func (r *reader) readGroups(field mappingField) {
	r.groups = map[string]*group{}
	if !r.requireValue(field, "groups: {}") {
		return
	}
	list, _ := r.pairs(field.value, "groups such as apps: [mail, social]", func(key *yaml.Node) bool {
		err := identity.OU.CheckName(key.Value)
		if err != nil || key.Kind != yaml.ScalarNode {
			r.addFault(key.Line, "want a group name of letters, digits and inner punctuation, found %s", describeNode(key))
			return false
		}
		return true
	})
	for _, f := range list {
		r.groups[f.key.Value] = &group{line: f.key.Line, clients: r.groupClients(f)}
	}
}

// groupClients returns the valid names in a group.
func (r *reader) groupClients(f mappingField) []string {
	const want = "a list of client names such as [mail, social]"
	nodes, ok := r.sequence(f.value, want)
	if ok && len(nodes) == 0 {
		r.addFault(f.key.Line, "want at least one client in a group, found none")
	}
	var names []string
	for _, n := range nodes {
		name, ok := r.scalar(n, want)
		switch {
		case !ok:
		case strings.HasPrefix(name, groupMark), name == access.Everyone:
			r.addFault(n.Line, "want the name of a client in a group, found %.40q", name)
		default:
			if err := r.checkName(name); err != nil {
				r.addFault(n.Line, "%v", err)
				continue
			}
			names = append(names, name)
		}
	}
	return names
}

// checkGroupsUsed adds a fault for each group without a reference, because a rule may have
// lost its reference to the group in an edit. A misspelled reference is another fault.
func (r *reader) checkGroupsUsed() {
	for name, g := range r.groups {
		if !g.used {
			r.addFault(g.line, "want a group that a list of clients contains as %q, found no reference to it", groupMark+name)
		}
	}
}

// requireValue reports whether an optional field of the top level has a value. The field
// without a value is a fault, because a file that was truncated while it was written can
// have this content.
func (r *reader) requireValue(field mappingField, none string) bool {
	if field.key == nil {
		return false
	}
	if !isNull(field.value) {
		return true
	}
	if r.requirePlain(field.value) {
		r.addFault(field.key.Line, "want at least one entry below %s, or %s for none, found nothing", field.key.Value, none)
	}
	return false
}

// checkName returns an error if no source in use has client names of this form.
func (r *reader) checkName(name string) error {
	if slices.ContainsFunc(r.sources, func(s identity.Source) bool { return s.CheckName(name) == nil }) {
		return nil
	}
	if len(r.sources) == 1 {
		return fmt.Errorf("client %.40q: %w", name, r.sources[0].CheckName(name))
	}
	return fmt.Errorf("client %.40q: want a client name of one of the sources %v, found another", name, r.sources)
}

// clientsField returns the clients in a list field, with groups expanded. Each item that
// is not a group is passed to check.
func (r *reader) clientsField(e entry, field mappingField, check func(name string) error) []string {
	names := r.textListField(e, field, "a list of client names such as [mail, social]")
	if field.key == nil {
		return nil
	}
	f := e.fields[field.key.Value]
	clients, lines := []string{}, []int{}
	for i, name := range names {
		found, err := r.expand(name, check)
		if err != nil {
			r.addFault(f.items[i], "%v", err)
		}
		f.invalid = f.invalid || len(found) == 0 // a group without valid names has a fault
		for _, client := range found {
			clients, lines = append(clients, client), append(lines, f.items[i])
		}
	}
	f.items = lines
	e.fields[field.key.Value] = f
	return clients
}

// expand returns the clients of a group, or the name itself after it was checked.
func (r *reader) expand(name string, check func(name string) error) ([]string, error) {
	reference, isGroup := strings.CutPrefix(name, groupMark)
	if !isGroup {
		if err := check(name); err != nil {
			return nil, err
		}
		return []string{name}, nil
	}
	g, ok := r.groups[reference]
	if !ok {
		return nil, fmt.Errorf("want a group below groups, found %.40q, which is not one of them", name)
	}
	g.used = true
	return g.clients, nil
}

// ruleClients returns the clients of a rule and records their names.
func (r *reader) ruleClients(e entry, field mappingField) []string {
	clients := r.clientsField(e, field, r.checkRuleClient)
	for i, name := range clients {
		if name != access.Everyone && !r.seen[name] {
			r.seen[name] = true
			r.named = append(r.named, namedClient{name, e.fields[field.key.Value].items[i]})
		}
	}
	return clients
}

func (r *reader) checkRuleClient(name string) error {
	if name == access.Everyone {
		return nil
	}
	return r.checkName(name)
}

// deniedClients returns the clients that an entry of the deny list names.
func (r *reader) deniedClients(e entry, client string) []string {
	clients, err := r.expand(client, r.checkRuleClient)
	if err != nil {
		r.addFault(e.fields["client"].startLine, "%v", err)
	}
	return clients
}
