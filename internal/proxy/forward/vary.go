package forward

import (
	"net/textproto"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/headers"
)

// Vary names the request fields that identify the client: answers depend on them, so a
// cache in front must not give one client's answer to another (RFC 9110, section
// 12.5.5). It is immutable and safe for concurrent use; [NewVary] makes one.
type Vary struct {
	// By whether signatures count, see index.
	names [2][]string
	value [2]string
	line  [2][]string // value, as it stands in an http.Header; never written to
}

// NewVary returns the Vary of answers to requests with these credential headers, empty
// names aside, and with Signature where signatures count.
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

func index(signaturesRead bool) int {
	if signaturesRead {
		return 1
	}
	return 0
}

// Value returns the value of the field.
func (v *Vary) Value(signaturesRead bool) string { return v.value[index(signaturesRead)] }

// merge returns the value together with those of the service's own Vary fields: one
// list, since some caches look at one line only. "*" stays alone, because it covers all
// fields.
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

// members returns the members of a list in several fields, empty ones aside.
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

// in returns the same as the values of the field in a header with the service's own.
func (v *Vary) in(own []string, signaturesRead bool) []string {
	if len(own) == 0 {
		return v.line[index(signaturesRead)]
	}
	return []string{v.merge(own, signaturesRead)}
}
