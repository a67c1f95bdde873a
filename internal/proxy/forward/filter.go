package forward

import (
	"net/http"
	"slices"

	"github.com/certgate/certgate/internal/core/headers"
)

// Filter decides which fields of a client's request are forwarded. It is immutable and safe
// for concurrent use. [NewFilter] makes one.
type Filter struct {
	credentials []string
	common      map[string]bool // the result of [Filter.decide] for common names; read-only
}

// NewFilter returns a filter that also strips the fields with the given names. Empty names
// are ignored.
func NewFilter(credentials []string) Filter {
	var f Filter
	names := headers.Common()
	for _, name := range credentials {
		if name != "" {
			f.credentials = append(f.credentials, name)
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	f.common = make(map[string]bool, len(names))
	for _, name := range names {
		f.common[name] = f.decide(name)
	}
	return f
}

// skipped are the fields that are not forwarded because of the content of one request.
type skipped struct {
	listed         headers.Options // names in the client's Connection fields
	signaturesRead bool            // the gateway has evaluated the signature fields
	traceparent    bool            // the gateway sends its own
	tracestate     bool            // it belongs to no valid traceparent
}

// skips reports whether a field of this name, in canonical form, is one of them.
func (s skipped) skips(name string) bool {
	return s.listed.List(name) || s.signaturesRead && headers.IsSignature(name) ||
		s.traceparent && name == headers.Traceparent || s.tracestate && name == headers.Tracestate
}

// each calls add with each field of the header that is forwarded.
func (f Filter) each(header http.Header, skip skipped, add func(name, value string)) {
	for name, values := range header {
		if !f.forwards(name) || skip.skips(name) {
			continue
		}
		for _, value := range values {
			add(name, value)
		}
	}
}

// forwards reports whether a field of this name is forwarded.
func (f Filter) forwards(name string) bool {
	if forwarded, ok := f.common[name]; ok {
		return forwarded
	}
	return f.decide(name)
}

func (f Filter) decide(name string) bool {
	return headers.KindOf(name) == headers.Forwarded && !f.isCredential(name)
}

// Protects reports whether a client's field of this name, in any spelling, never reaches
// the upstream: the gateway writes the field itself, a proxy or client identifies the
// caller or the request in it, or it carries a credential. Fields that concern one
// connection only are not included.
func (f Filter) Protects(name string) bool {
	switch headers.KindOf(name) {
	case headers.Forwarded, headers.HopByHop:
		return f.isCredential(name)
	default:
		return true
	}
}

func (f Filter) isCredential(name string) bool {
	return slices.ContainsFunc(f.credentials, func(credential string) bool { return headers.Same(credential, name) })
}
