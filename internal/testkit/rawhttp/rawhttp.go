// Package rawhttp reads and writes HTTP/1.1 as raw bytes on TCP connections, for tests.
package rawhttp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Timeout limits every wait for the peer. It is much longer than any expected event takes,
// so that a test fails instead of blocking; no test measures it.
const Timeout = 20 * time.Second

// TB is the part of [testing.TB] that the package uses.
type TB interface {
	Helper()
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Conn is one end of a connection.
type Conn struct {
	net.Conn

	// Reader reads from the connection and buffers.
	Reader *bufio.Reader

	dialed bool
}

// New returns a Conn without a deadline for an existing connection.
func New(c net.Conn) *Conn { return &Conn{Conn: c, Reader: bufio.NewReader(c)} }

// Dial connects to a TCP address. Reads and writes fail [Timeout] after the last call of Send or
// Response. The connection is closed at the end of the test.
func Dial(tb TB, addr string) *Conn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatalf("want a connection, found %v", err)
	}
	tb.Cleanup(func() { c.Close() })
	raw := New(c)
	raw.dialed = true
	raw.extendDeadline()
	return raw
}

// extendDeadline sets the deadline of a connection of [Dial]. It fails only on a closed
// connection, whose next read or write fails too.
func (c *Conn) extendDeadline() {
	if c.dialed {
		_ = c.SetDeadline(time.Now().Add(Timeout))
	}
}

// Send writes the text. It returns no error: after a failed write, the next read fails too.
func (c *Conn) Send(text string) {
	c.extendDeadline()
	_, _ = io.WriteString(c.Conn, text)
}

// CloseWrite ends the sending direction of a TCP connection.
func (c *Conn) CloseWrite() error {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	return tcp.CloseWrite()
}

// Head reads up to the empty line and returns the lines before it with their line ends.
func (c *Conn) Head() (string, error) {
	var head strings.Builder
	for {
		line, err := c.Reader.ReadString('\n')
		if err != nil {
			return head.String(), err
		}
		if line == "\r\n" {
			return head.String(), nil
		}
		head.WriteString(line)
	}
}

// Request reads a request with its body. An error means that the connection ended before the
// end of the request, or that net/http does not accept the request.
func (c *Conn) Request() (r *http.Request, body string, err error) {
	r, err = http.ReadRequest(c.Reader)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// Rest reads until the peer closes the connection and returns the bytes. After a reset, it
// returns the bytes that arrived before.
func (c *Conn) Rest() string {
	rest, _ := io.ReadAll(c.Reader)
	return string(rest)
}

// Response is a response with its body.
type Response struct {
	*http.Response

	Text string // the body, as far as it arrived
	Err  error  // of reading the body
}

// Response reads the response to a request with the given method. It fails the test if no
// header arrives; an incomplete body is in [Response].Err.
func (c *Conn) Response(tb TB, method string) Response {
	tb.Helper()
	c.extendDeadline()
	res, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		tb.Fatalf("want a response, found %v", err)
	}
	text, err := io.ReadAll(res.Body)
	return Response{res, string(text), err}
}

// Exchange sends one request on a connection of its own and returns the response.
func Exchange(tb TB, addr, request string) Response {
	tb.Helper()
	c := Dial(tb, addr)
	defer c.Close()
	c.Send(request)
	method, _, _ := strings.Cut(request, " ")
	return c.Response(tb, method)
}

// WantEOF checks that the peer closes the connection without a reset and without sending
// another byte.
func (c *Conn) WantEOF(tb TB) {
	tb.Helper()
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		tb.Errorf("want the end of the connection, found %.80q and %v", rest, err)
	}
}

// WantClosed checks that the peer closes or resets the connection without sending another
// byte.
func (c *Conn) WantClosed(tb TB) {
	tb.Helper()
	rest, err := io.ReadAll(c.Reader)
	if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		tb.Errorf("want the connection closed by the peer, found %.80q and %v", rest, err)
	}
}

// Empty is a response without a body that keeps the connection open.
const Empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// Lines joins lines with the line ends of HTTP. A last empty line ends a header.
func Lines(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }
