package httpsig

import (
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// source holds the request that component values are read from.
type source struct {
	m     Message
	host  string                // value of @authority
	query map[string]queryParam // parsed on first use
}

// signatureBase returns the signature base, the input of the signature algorithm
// (RFC 9421, section 2.5): one line per component, then the signature parameters. The
// result does not alias the message.
func signatureBase(m Message, host string, covered []component, params string) ([]byte, error) {
	b := make([]byte, 0, estimateSize(m, covered)+len(params))
	from := source{m: m, host: host}
	var err error
	for _, c := range covered {
		b = c.appendIdentifier(b)
		b = append(b, ": "...)
		start := len(b)
		if b, err = from.appendValue(b, c); err != nil {
			return nil, err
		}
		if !isText(b[start:]) {
			return nil, refusal.New(refusal.ProofMalformed, "want the value of %.80q as printable ASCII on one line, found other bytes", c.name)
		}
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, params...), nil
}

// estimateSize estimates the length of the base without its last line, in bytes.
func estimateSize(m Message, covered []component) int {
	size := 64 + len(m.Method) + 2*len(m.Target) + len(m.Authority)
	for _, c := range covered {
		size += len(c.name) + len(c.query) + 16
		for _, line := range m.Header[c.field] {
			size += len(line) + 2
		}
	}
	return size
}

// isText reports whether the value is printable ASCII, spaces and tabs, as the
// signature base requires (RFC 9421, section 2.5). With a line break, the client could
// inject a line into the base.
func isText(value []byte) bool {
	for _, c := range value {
		if (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

func (s *source) appendValue(b []byte, c component) ([]byte, error) {
	switch c.name {
	case method:
		return append(b, s.m.Method...), nil
	case authority:
		if s.host == "" {
			return nil, refusal.New(refusal.ProofMalformed, "want a host in the request, found none")
		}
		return append(b, s.host...), nil
	case requestTarget:
		return append(b, s.m.Target...), nil
	case path, query, namedQuery:
		return s.appendTarget(b, c)
	}
	return appendField(b, c, s.m.Header)
}

// appendTarget appends the path, the query or one query parameter of the request
// target (RFC 9421, sections 2.2.6 to 2.2.8). Path and query are the bytes as received.
func (s *source) appendTarget(b []byte, c component) ([]byte, error) {
	if !strings.HasPrefix(s.m.Target, "/") {
		return nil, refusal.New(refusal.ProofMalformed, "want a request target in origin form, found %.80q", s.m.Target)
	}
	before, after, _ := strings.Cut(s.m.Target, "?")
	switch c.name {
	case path:
		return append(b, before...), nil
	case query:
		b = append(b, '?')
		return append(b, after...), nil
	}
	if s.query == nil {
		var err error
		if s.query, err = readQuery(after); err != nil {
			return nil, err
		}
	}
	value, err := singleValue(s.query, c.query)
	return append(b, value...), err
}

// appendField appends the lines of a field, trimmed and joined with ", " (RFC 9421,
// section 2.1).
func appendField(b []byte, c component, h http.Header) ([]byte, error) {
	lines := h[c.field]
	if len(lines) == 0 {
		return nil, refusal.New(refusal.ProofIncomplete, "want the covered field %.80q in the request, found none", c.name)
	}
	for i, line := range lines {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, strings.Trim(line, " \t")...)
	}
	return b, nil
}

// Authority returns the value of @authority that a signature over a request for the
// given host must cover: see [ChooseAuthority].
func (v *Verifier) Authority(requested string) string {
	if v == nil {
		return NormalizeHost(requested)
	}
	return ChooseAuthority(v.Authorities, requested)
}

// ChooseAuthority returns the host under which a service with the given public
// authorities serves a request: the requested host if it is one of them or if the list is
// empty, otherwise the first of them. The result is normalized with [NormalizeHost].
func ChooseAuthority(authorities []string, requested string) string {
	requested = NormalizeHost(requested)
	for _, host := range authorities {
		if NormalizeHost(host) == requested {
			return requested
		}
	}
	if len(authorities) > 0 {
		return NormalizeHost(authorities[0])
	}
	return requested
}

// NormalizeHost returns the host in lower case and without the default port of its
// scheme. The scheme is not known here, so both ":80" and ":443" are removed.
func NormalizeHost(host string) string {
	host = strings.ToLower(host)
	for _, port := range []string{":80", ":443"} {
		if cut, ok := strings.CutSuffix(host, port); ok {
			return cut
		}
	}
	return host
}
