package httpsig

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// component is one thing that a signature covers (RFC 9421, section 2).
type component struct {
	name  string // of a field, in lower case, or a derived component's with its "@"
	field string // the same as a key of a header, "" for a derived component
	query string // the name parameter of @query-param
}

// The derived components (RFC 9421, section 2.2) that a request has here. Not
// among them is what the gateway does not know: it is told no scheme.
const (
	method        = "@method"
	authority     = "@authority"
	path          = "@path"
	query         = "@query"
	requestTarget = "@request-target"
	namedQuery    = "@query-param"
)

// maxComponents bounds what one signature covers.
const maxComponents = 64

// components reads what a signature covers: known derived components and fields,
// none of them twice.
func components(items []httpsfv.Item) ([]component, error) {
	if len(items) > maxComponents {
		return nil, refusal.New(refusal.ProofMalformed, "want at most %d components, found %d", maxComponents, len(items))
	}
	covered := make([]component, 0, len(items))
	for _, item := range items {
		c, err := newComponent(item)
		if err != nil {
			return nil, err
		}
		if slices.Contains(covered, c) {
			return nil, refusal.New(refusal.ProofMalformed, "want each component once, found %.80q twice", c.name)
		}
		covered = append(covered, c)
	}
	return covered, nil
}

func newComponent(item httpsfv.Item) (component, error) {
	name, ok := item.Value.(string)
	if !ok {
		return component{}, refusal.New(refusal.ProofMalformed, "want components that are strings")
	}
	params := item.Params.Names()
	if name == namedQuery {
		of, ok := item.Params.Get("name")
		named, isString := of.(string)
		if !ok || !isString || len(params) != 1 {
			return component{}, refusal.New(refusal.ProofMalformed, "want %s to have the parameter name, a string, and no other", namedQuery)
		}
		return component{name: name, query: named}, nil
	}
	if len(params) > 0 {
		return component{}, refusal.New(refusal.ProofMalformed, "want no parameters of component %.80q, found %.80q", name, firstFew(params))
	}
	if isDerived(name) {
		return component{name: name}, nil
	}
	if !isField(name) {
		return component{}, refusal.New(refusal.ProofMalformed, "want components of requests and lower-case names of fields, found %.80q", name)
	}
	return component{name: name, field: http.CanonicalHeaderKey(name)}, nil
}

func isDerived(name string) bool {
	switch name {
	case method, authority, path, query, requestTarget:
		return true
	}
	return false
}

// isField reports a field's name in lower case (RFC 9110, section 5.1) that a
// signature can cover: its own two fields it cannot.
func isField(name string) bool {
	if name == "" || headers.IsSignature(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c < 'a' || c > 'z' {
			if (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// identifier is how the component is called in the signature base: a string that
// needs no escapes, but for the name of a query parameter.
func (c component) appendIdentifier(b []byte) []byte {
	b = append(b, '"')
	b = append(b, c.name...)
	b = append(b, '"')
	if c.name != namedQuery {
		return b
	}
	b = append(b, `;name="`...)
	for i := range len(c.query) {
		if c.query[i] == '"' || c.query[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c.query[i])
	}
	return append(b, '"')
}

// needed is what a signature covers beside fields. @query is "?" for a query that
// is empty as for none (RFC 9421, section 2.2.7), so the whole target tells them
// apart.
func needed(target string) []string {
	names := []string{method, authority, path, query}
	if _, after, asked := strings.Cut(target, "?"); asked && after == "" {
		names = append(names, requestTarget)
	}
	return names
}

// checkCoverage wants everything covered that decides what the request does.
func (v *Verifier) checkCoverage(covered []component, m Message) error {
	for _, name := range needed(m.Target) {
		if !covers(covered, name) {
			return errUncovered(name)
		}
	}
	if !covers(covered, v.CredentialHeader) {
		return errUncovered(strings.ToLower(v.CredentialHeader))
	}
	if m.HasBody && m.Body == nil {
		return errUnseen()
	}
	if m.HasBody && !covers(covered, contentDigest) {
		return errUncovered(contentDigest)
	}
	return nil
}

func errUncovered(name string) error {
	return refusal.New(refusal.ProofIncomplete, "want %q covered, found it left out", name)
}

// covers takes the name in any case.
func covers(covered []component, name string) bool {
	return slices.ContainsFunc(covered, func(c component) bool { return strings.EqualFold(c.name, name) })
}
