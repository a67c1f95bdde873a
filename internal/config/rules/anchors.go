package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// listedAnchor is an element of the list of anchors.
type listedAnchor struct {
	entry   entry
	scope   identity.Scope // without clients
	clients mappingField
}

// readAnchors reads the list of anchors without their clients, and records the sources
// in use.
func (r *reader) readAnchors(list mappingField) []listedAnchor {
	r.sources = []identity.Source{r.source}
	if !r.requireValue(list, "anchors: []") {
		return nil
	}
	nodes, _ := r.sequence(list.value, "a list of anchors with their keys")
	var anchors []listedAnchor
	for _, n := range nodes {
		e, fields, ok := r.readEntry(n, "an anchor with the fields key, identity and clients", "key", "identity", "clients")
		if !ok {
			continue
		}
		key := r.textField(e, fields["key"], "the id of a key, 16 or 64 hex digits")
		source := identity.Source(r.textField(e, fields["identity"], "ou, cn, uri, dns or email"))
		anchors = append(anchors, listedAnchor{e, identity.Scope{Key: key, Source: source}, fields["clients"]})
		if source != "" && !slices.Contains(r.sources, source) {
			r.sources = append(r.sources, source)
		}
	}
	return anchors
}

// addScopes reads the clients of the anchors. Package identity checks the names, because
// their form depends on the anchor.
func (r *reader) addScopes(c *contents, anchors []listedAnchor) {
	for _, a := range anchors {
		a.scope.Clients = r.clientsField(a.entry, a.clients, func(string) error { return nil })
		c.scopes = append(c.scopes, a.scope)
		c.scopeEntries = append(c.scopeEntries, a.entry)
	}
}

// addScopeErrors adds the errors of [identity.NewReader] with their lines.
func (r *reader) addScopeErrors(c contents, err error) {
	for _, e := range unjoin(err) {
		fault, ok := errors.AsType[*identity.ScopeError](e)
		if !ok {
			r.addFault(1, "%v", e)
			continue
		}
		if line, known := c.scopeEntries[fault.Index].faultLine(fault.Field, fault.Item); !known {
			r.addFault(line, "%s", fault.Problem)
		}
	}
}

// anchorLine is the key of a listed anchor and the line of the key.
type anchorLine struct {
	key  string
	line int
}

// anchorLines returns the keys of the listed anchors.
func (c *contents) anchorLines() []anchorLine {
	var list []anchorLine
	for i, s := range c.scopes {
		list = append(list, anchorLine{strings.ToLower(s.Key), c.scopeEntries[i].fields["key"].startLine})
	}
	return list
}

// CheckAnchors returns an error if the document does not fit the keyring: if it lists an
// anchor that is not in the keyring, or if a rule names a client that no anchor of the
// keyring may issue. The error joins the first [MaxFaults] faults, each an [*Error].
func (d Document) CheckAnchors(ring *trust.Keyring) error {
	r := reader{}
	anchors := ring.Anchors()
	for _, a := range d.anchors {
		listed := func(anchor trust.Anchor) bool { return strings.HasPrefix(anchor.ID().String(), a.key) }
		if !slices.ContainsFunc(anchors, listed) {
			r.addFault(a.line, "want the id of a key in the keyring, found %q: certgate keys lists them", a.key)
		}
	}
	for _, client := range d.named {
		mayIssue := func(anchor trust.Anchor) bool { return d.Names.Permits(anchor.ID(), client.name) }
		if !slices.ContainsFunc(anchors, mayIssue) {
			r.addFault(client.line, "client %.40q: want a client that a key in the keyring may issue, found none that may", client.name)
		}
	}
	return r.err(d.name)
}

// scopesText returns the meaning of the scopes for the digest of the rules. It does not
// depend on the order of the anchors and their clients.
func scopesText(scopes []identity.Scope) []string {
	var list []string
	for _, s := range scopes {
		list = append(list, fmt.Sprintf("%.16q %q %q", strings.ToLower(s.Key), s.Source, slices.Sorted(slices.Values(s.Clients))))
	}
	slices.Sort(list)
	return list
}
