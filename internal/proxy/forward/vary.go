package forward

import (
	"net/textproto"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/headers"
)

// Vary contains the values of the Vary field: it lists the request fields that identify the
// client. Responses depend on them, so a cache must not send one client's response to
// another client (RFC 9110, section 12.5.5). It is immutable and safe for concurrent use;
// [NewVary] makes one.
type Vary struct {
	// The indexes are those of [index].
	names [2][]string
	value [2]string
	line  [2][]string // value as it is stored in an http.Header; read-only
}

// NewVary returns the values for the given credential headers, without empty names. For
// requests whose signatures are evaluated, they include Signature.
func NewVary(credentials []string) *Vary {
	var names []string
	for _, name := range credentials {
		if name != "" {
			names = append(names, name)
		}
	}
	var v Vary
	for i, more := range [][]string{nil, {headers.Signature}} {
		v.names[i] = append(append([]string(nil), names...), more...)
		v.value[i] = strings.Join(v.names[i], ", ")
		v.line[i] = []string{v.value[i]}
	}
	return &v
}

// index returns the index into the arrays of [Vary].
func index(signaturesRead bool) int {
	if signaturesRead {
		return 1
	}
	return 0
}

// Value returns the value of the field for a request whose signatures the gateway has
// evaluated, or has not.
func (v *Vary) Value(signaturesRead bool) string { return v.value[index(signaturesRead)] }

// merge returns the value merged with the upstream's own Vary fields. The result is one
// list, because some caches read the first line only. A "*" covers all fields and stays
// alone.
func (v *Vary) merge(own []string, signaturesRead bool) string {
	i := index(signaturesRead)
	if len(own) == 0 {
		return v.value[i]
	}
	merged := members(own)
	if slices.Contains(merged, "*") {
		return "*"
	}
	for _, name := range v.names[i] {
		if !slices.ContainsFunc(merged, func(m string) bool { return strings.EqualFold(m, name) }) {
			merged = append(merged, name)
		}
	}
	return strings.Join(merged, ", ")
}

// members returns the members of a list in several fields, without empty ones.
func members(values []string) (all []string) {
	for _, value := range values {
		for member := range strings.SplitSeq(value, ",") {
			if member = textproto.TrimString(member); member != "" {
				all = append(all, member)
			}
		}
	}
	return all
}

// in returns the merged value as it is stored in an http.Header. The caller must not change
// it.
func (v *Vary) in(own []string, signaturesRead bool) []string {
	if len(own) == 0 {
		return v.line[index(signaturesRead)]
	}
	return []string{v.merge(own, signaturesRead)}
}
