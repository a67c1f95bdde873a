package client

import (
	"fmt"
	"net/http"
	"strconv"
)

// Message is a request as it goes on the wire, in one piece: [Message.Begin], then
// [Message.Field] for each field line, then [Message.End]. What
// could be read as more than one request is refused by [Client.Do]. A Message can be
// used again, by one goroutine at a time.
type Message struct {
	b      []byte
	method string
	body   bool
	last   bool  // the connection ends behind the answer
	err    error // the first
}

// Begin makes the request line and the Host field.
func (m *Message) Begin(method, target, host string) {
	*m = Message{b: m.b[:0], method: method}
	switch {
	case !isToken(method):
		m.err = fmt.Errorf("want a method, found %.40q", method)
	case !isWord(target):
		m.err = fmt.Errorf("want a request target, found %.40q", target)
	case !isWord(host):
		m.err = fmt.Errorf("want a host, found %.40q", host)
	}
	m.b = append(append(append(append(m.b, method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	m.b = append(append(m.b, host...), "\r\n"...)
}

// Field adds a field line. What frames the message is no field: Content-Length is
// written by [Message.End].
func (m *Message) Field(name, value string) {
	if err := checkField(name, value); err != nil && m.err == nil {
		m.err = err
	}
	m.b = appendField(m.b, name, value)
}

// End adds the body, and its length before it. With a body of a method that usually
// has none, the message asks the service to close the connection: a service that does
// not read such a body would take it for the next request, of another client.
func (m *Message) End(body []byte) {
	m.body = len(body) > 0
	m.last = m.body && !MethodHasContent(m.method)
	if m.body || MethodHasContent(m.method) {
		m.b = append(strconv.AppendInt(append(m.b, "Content-Length: "...), int64(len(body)), 10), "\r\n"...)
	}
	if m.last {
		m.b = append(m.b, "Connection: close\r\n"...)
	}
	m.b = append(append(m.b, "\r\n"...), body...)
}

// repeatable: sending it again changes nothing at the upstream.
func (m *Message) repeatable() bool {
	return !m.body && (m.method == http.MethodGet || m.method == http.MethodHead)
}

// MethodHasContent reports whether requests with the method usually have content. They
// say so when it is empty, too (RFC 9110, section 8.6), as net/http does.
func MethodHasContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func checkField(name, value string) error {
	switch {
	case name == "Content-Length" || name == "Host" || name == "Transfer-Encoding" || !isToken(name):
		return fmt.Errorf("want a header name, found %.40q", name)
	case !printable(value):
		return fmt.Errorf("want a header value without control characters in %q", name)
	default:
		return nil
	}
}

func appendField(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}
