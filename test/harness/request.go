package harness

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
)

// Request is an HTTP/1.1 request that is written byte for byte, so that it can be
// malformed.
type Request struct {
	Method, Target string
	Host           string   // app.example by default
	Header         []string // "Name: value"
	Body           string   // sent with Content-Length, unless Header has one or a Transfer-Encoding
}

// Get returns a GET request with the certificate in X-SSL-Auth.
func Get(target string, as Certificate) Request {
	return Request{Method: "GET", Target: target, Header: []string{"X-SSL-Auth: " + as.HeaderValue(certheader.Base64PEM)}}
}

// With returns a copy with more header lines.
func (r Request) With(lines ...string) Request {
	r.Header = append(append([]string(nil), r.Header...), lines...)
	return r
}

// Post returns a POST request with the same header and a body.
func (r Request) Post(body string) Request {
	r.Method, r.Body = "POST", body
	return r
}

// String returns the bytes of the request.
func (r Request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Target, cmp.Or(r.Host, "app.example"))
	for _, line := range r.Header {
		b.WriteString(line + "\r\n")
	}
	head := strings.ToLower(b.String())
	if r.Body != "" && !strings.Contains(head, "transfer-encoding:") && !strings.Contains(head, "content-length:") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	return b.String() + "\r\n" + r.Body
}

// EventJSON returns an event in the form of the 2012 article.
func EventJSON(name string) string {
	return `{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"` + name + `"}}`
}

// Chunked returns a body in chunks of the size.
func Chunked(body string, size int) string {
	var b bytes.Buffer
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// PlainGet returns a GET request without a credential.
func PlainGet(target string) Request { return Request{Method: "GET", Target: target} }

// PlainRequest returns a request without a credential.
func PlainRequest(method, target string) Request { return Request{Method: method, Target: target} }

// GetWithCredential returns a GET request with the value in X-SSL-Auth, and registers the
// value as a secret.
func GetWithCredential(value string) Request {
	KeepSecret(value)
	return Request{Method: "GET", Target: "/events", Header: []string{"X-SSL-Auth: " + value}}
}

// Value returns the value of the header field.
func (r Request) Value(field string) string {
	var values []string
	for _, line := range r.Header {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, field) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return strings.Join(values, ", ")
}
