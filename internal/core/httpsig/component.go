package httpsig

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// component is one covered component of a signature (RFC 9421, section 2).
type component struct {
	name  string // lower-case field name, or derived component name with its "@"
	field string // canonical field name, "" for a derived component
	query string // name parameter of @query-param
}

// Supported derived components (RFC 9421, section 2.2). @scheme and @target-uri are not
// supported, because the gateway does not know the scheme of the client's request.
const (
	method        = "@method"
	authority     = "@authority"
	path          = "@path"
	query         = "@query"
	requestTarget = "@request-target"
	namedQuery    = "@query-param"
)

// maxComponents is the maximum number of components that one signature covers.
const maxComponents = 64

// components parses the covered components of a signature. It refuses unsupported
// derived components, invalid field names and duplicates.
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
		return component{}, refusal.New(refusal.ProofMalformed, "want every component to be a string")
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
		return component{}, refusal.New(refusal.ProofMalformed, "want component %.80q without parameters, found %.80q", name, firstFew(params))
	}
	c, ok := newPlainComponent(name)
	if !ok {
		return component{}, refusal.New(refusal.ProofMalformed, "want a derived component of requests or a lower-case field name, found %.80q", name)
	}
	return c, nil
}

// newPlainComponent returns a component without parameters, and whether its name is valid.
func newPlainComponent(name string) (component, bool) {
	if isDerived(name) {
		return component{name: name}, true
	}
	if !isField(name) {
		return component{}, false
	}
	return component{name: name, field: http.CanonicalHeaderKey(name)}, true
}

func isDerived(name string) bool {
	switch name {
	case method, authority, path, query, requestTarget:
		return true
	}
	return false
}

// isField reports whether the name is a lower-case field name (RFC 9110, section 5.1)
// that a signature can cover. Signature and Signature-Input cannot be covered.
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

// appendIdentifier appends the component identifier as written in the signature base.
// Only the name of a query parameter can contain characters that need escaping.
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

// requiredComponents returns the derived components that a signature must cover. The value of
// @query is "?" both for an empty query and for a target without a query (RFC 9421,
// section 2.2.7). For an empty query, @request-target is required as well, so that the
// two targets have different signature bases.
func requiredComponents(target string) []string {
	names := []string{method, authority, path, query}
	if _, after, asked := strings.Cut(target, "?"); asked && after == "" {
		names = append(names, requestTarget)
	}
	return names
}

// checkCoverage refuses a signature that does not cover the method, authority, path,
// query, certificate and, if the request has content, the Content-Digest field.
func (v *Verifier) checkCoverage(covered []component, m Message) error {
	for _, name := range requiredComponents(m.Target) {
		if !covers(covered, name) {
			return errUncovered(name)
		}
	}
	if !covers(covered, v.CredentialHeader) {
		return errUncovered(strings.ToLower(v.CredentialHeader))
	}
	if m.HasBody && m.Body == nil {
		return errBodyUnavailable()
	}
	if m.HasBody && !covers(covered, contentDigest) {
		return errUncovered(contentDigest)
	}
	return nil
}

func errUncovered(name string) error {
	return refusal.New(refusal.ProofIncomplete, "want %q among the covered components, found it missing", name)
}

// covers reports whether a component has the given name. Case is ignored.
func covers(covered []component, name string) bool {
	return slices.ContainsFunc(covered, func(c component) bool { return strings.EqualFold(c.name, name) })
}
