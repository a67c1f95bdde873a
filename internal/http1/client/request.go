package client

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// MaxBuffered is the length of the longest body that is in memory before its request is
// sent, in bytes.
const MaxBuffered = 64 << 10

// headroom is the space for the header in front of a body in memory, so that both are sent
// with one write. A longer header moves the body.
const headroom = 4 << 10

// Request is a serialized request: call [Request.ReadBody], [Request.Begin], then
// [Request.Field] for each field, then [Request.End]. [Client.Do] refuses a request that
// could be read as more than one. A Request can be used again when its response is not used
// any more, by one goroutine at a time.
type Request struct {
	head    []byte    // the header
	buf     []byte    // headroom, and the body or its beginning
	rest    io.Reader // of the body; nil if all of it is in buf
	length  int64     // of the body in bytes
	unread  int64     // bytes of rest that have not been read
	wire    []byte    // the header and the body or its beginning
	method  string
	closing bool  // the connection closes after the response
	err     error // the first error

	fields []Field // memory for the fields of the response
	body   body    // of the response
}

// ReadBody reads the body of the request, which has the given length. Of a body over 64 KiB
// it reads a beginning, and [Client.Do] sends the rest while it reads it from r. The body
// stays the same when Begin starts the request again, for another address.
func (m *Request) ReadBody(r io.Reader, length int64) error {
	m.rest, m.length, m.unread = nil, length, 0
	if length == 0 {
		return nil
	}
	size := headroom + int(min(length, MaxBuffered))
	if cap(m.buf) < size {
		m.buf = make([]byte, size)
	}
	m.buf = m.buf[:size]
	if length <= MaxBuffered {
		_, err := io.ReadFull(r, m.buf[headroom:])
		return err
	}
	n, err := r.Read(m.buf[headroom:])
	m.buf, m.rest, m.unread = m.buf[:headroom+n], r, length-int64(n)
	return err
}

// Body returns the body, or its beginning if not all of it is in memory.
func (m *Request) Body() (body []byte, complete bool) {
	if m.length == 0 {
		return nil, true
	}
	return m.buf[headroom:], m.rest == nil
}

// Begin writes the request line and the Host field.
func (m *Request) Begin(method, target, host string) {
	*m = Request{head: m.head[:0], buf: m.buf, rest: m.rest, length: m.length, unread: m.unread, method: method, fields: m.fields[:0]}
	switch {
	case !httpguts.ValidHeaderFieldName(method):
		m.err = fmt.Errorf("want a method, found %.40q", method)
	case !isVisible(target):
		m.err = fmt.Errorf("want a request target, found %.40q", target)
	case !isVisible(host):
		m.err = fmt.Errorf("want a host, found %.40q", host)
	}
	m.head = append(append(append(append(m.head, method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	m.head = append(append(m.head, host...), "\r\n"...)
}

// Field adds a field. Names that frame the message, and Host, are an error.
func (m *Request) Field(name, value string) {
	if err := checkField(name, value); err != nil && m.err == nil {
		m.err = err
	}
	m.head = append(append(append(append(m.head, name...), ": "...), value...), "\r\n"...)
}

// End adds Content-Length and the body. A request with a body whose method usually has none
// gets Connection: close, because an upstream that does not read such a body would parse it
// as the next request on the connection.
func (m *Request) End() {
	m.closing = m.length > 0 && !MethodHasContent(m.method)
	if m.length > 0 || MethodHasContent(m.method) {
		m.head = append(strconv.AppendInt(append(m.head, "Content-Length: "...), m.length, 10), "\r\n"...)
	}
	if m.closing {
		m.head = append(m.head, "Connection: close\r\n"...)
	}
	m.head = append(m.head, "\r\n"...)
	switch start := headroom - len(m.head); {
	case m.length == 0:
		m.wire = m.head
	case start < 0:
		m.head = append(m.head, m.buf[headroom:]...)
		m.wire = m.head
	default:
		copy(m.buf[start:], m.head)
		m.wire = m.buf[start:]
	}
}

// idempotent reports whether the request may be sent twice.
func (m *Request) idempotent() bool {
	return m.length == 0 && (m.method == http.MethodGet || m.method == http.MethodHead)
}

// MethodHasContent reports whether requests with the method usually have content. Like
// net/http, such requests have a Content-Length also when the content is empty (RFC 9110,
// section 8.6).
func MethodHasContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func checkField(name, value string) error {
	switch {
	case name == "Content-Length" || name == "Host" || name == "Transfer-Encoding" || !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("want a header name, found %.40q", name)
	case !syntax.IsFieldValue(value):
		return fmt.Errorf("want a header value without control characters in %q", name)
	default:
		return nil
	}
}

// isVisible reports whether s is not empty and has no space and no control character.
func isVisible(s string) bool {
	return s != "" && syntax.IsFieldValue(s) && strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, '\t') < 0
}
