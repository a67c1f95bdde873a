package client

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// Request is a serialized request: call [Request.Begin], then [Request.Field] for each
// field, then [Request.End]. [Client.Do] refuses a request that could be read as more than
// one. A Request can be used again when its response is not used any more, by one goroutine
// at a time.
type Request struct {
	wire    []byte // the bytes to send
	method  string
	hasBody bool
	closing bool  // the connection closes after the response
	err     error // the first error

	fields []Field // memory for the fields of the response
	body   body    // of the response
}

// Begin writes the request line and the Host field.
func (m *Request) Begin(method, target, host string) {
	*m = Request{wire: m.wire[:0], method: method, fields: m.fields[:0]}
	switch {
	case !syntax.IsToken(method):
		m.err = fmt.Errorf("want a method, found %.40q", method)
	case !isVisible(target):
		m.err = fmt.Errorf("want a request target, found %.40q", target)
	case !isVisible(host):
		m.err = fmt.Errorf("want a host, found %.40q", host)
	}
	m.wire = append(append(append(append(m.wire, method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	m.wire = append(append(m.wire, host...), "\r\n"...)
}

// Field adds a field. Names that frame the message, and Host, are an error.
func (m *Request) Field(name, value string) {
	if err := checkField(name, value); err != nil && m.err == nil {
		m.err = err
	}
	m.wire = append(append(append(append(m.wire, name...), ": "...), value...), "\r\n"...)
}

// End adds Content-Length and the body. A request with a body whose method usually has none
// asks the upstream to close the connection: an upstream that does not read such a body
// would take it for the next request, which comes from another client.
func (m *Request) End(body []byte) {
	m.hasBody = len(body) > 0
	m.closing = m.hasBody && !MethodHasContent(m.method)
	if m.hasBody || MethodHasContent(m.method) {
		m.wire = append(strconv.AppendInt(append(m.wire, "Content-Length: "...), int64(len(body)), 10), "\r\n"...)
	}
	if m.closing {
		m.wire = append(m.wire, "Connection: close\r\n"...)
	}
	m.wire = append(append(m.wire, "\r\n"...), body...)
}

// idempotent reports whether the request may be sent twice.
func (m *Request) idempotent() bool {
	return !m.hasBody && (m.method == http.MethodGet || m.method == http.MethodHead)
}

// MethodHasContent reports whether requests with the method usually have content. Like
// net/http, such requests have a Content-Length also when the content is empty (RFC 9110,
// section 8.6).
func MethodHasContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func checkField(name, value string) error {
	switch {
	case name == "Content-Length" || name == "Host" || name == "Transfer-Encoding" || !syntax.IsToken(name):
		return fmt.Errorf("want a header name, found %.40q", name)
	case !syntax.IsFieldValue(value):
		return fmt.Errorf("want a header value without control characters in %q", name)
	default:
		return nil
	}
}

// isVisible reports whether s is not empty and has no space and no control character.
func isVisible(s string) bool {
	return s != "" && syntax.IsFieldValue(s) && !strings.ContainsAny(s, " \t")
}
