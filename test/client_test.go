package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
)

// request is written to the socket as it stands, so that it can be anything.
type request struct {
	method, target string
	header         []string // "Name: value"
	body           string   // with a Content-Length, unless the header frames it
}

// get asks for a path as a client.
func get(target string, as certificate) request {
	return request{method: "GET", target: target, header: []string{"X-SSL-Auth: " + as.header(certheader.Base64PEM)}}
}

// with is a copy with more header lines.
func (r request) with(lines ...string) request {
	r.header = append(append([]string(nil), r.header...), lines...)
	return r
}

// post is a copy that sends a body.
func (r request) post(body string) request {
	r.method, r.body = "POST", body
	return r
}

func (r request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: app.example\r\n", r.method, r.target)
	for _, line := range r.header {
		b.WriteString(line + "\r\n")
	}
	head := strings.ToLower(b.String())
	if r.body != "" && !strings.Contains(head, "transfer-encoding:") && !strings.Contains(head, "content-length:") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is an RFC 9457 answer.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	if found := a.header.Get("Content-Type"); found != "application/problem+json" {
		t.Fatalf("want a problem, found status %d and %q", a.status, found)
	}
	var p problem
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("want a problem, found %.200q: %v", a.body, err)
	}
	return p
}

// connection is one TCP connection with a deadline.
type connection struct {
	net.Conn
	reader *bufio.Reader
}

func dial(t *testing.T, addr string) *connection {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &connection{c, bufio.NewReader(c)}
}

func (c *connection) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// read reads one answer to a request with the method.
func (c *connection) read(t *testing.T, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("want an answer, found %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("want the whole answer, found %d bytes and %v", len(body), err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// wantClosed wants the end of the stream and not a byte before it. A reset is
// an end, too: the other side had not read everything.
func (c *connection) wantClosed(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(c.reader)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("want the connection closed, found it open")
	}
	if len(rest) != 0 {
		t.Errorf("want nothing more, found %.200q", rest)
	}
}

// send does one request on a connection of its own.
func send(t *testing.T, addr string, r request) answer {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	c.write(t, r.String())
	return c.read(t, r.method)
}

// eventBody is an event in the form of the 2012 article.
func eventBody(name string) string {
	return `{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"` + name + `"}}`
}

// chunked is body in chunks of the size.
func chunked(body string, size int) string {
	var b bytes.Buffer
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}
