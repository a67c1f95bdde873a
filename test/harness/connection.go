package harness

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Curl sends a request with curl. It returns the status and the body of the response.
func Curl(t *testing.T, args ...string) (status int, body string) {
	t.Helper()
	result := RunProgram(t, "curl", nil, append([]string{"-sS", "--max-time", "30", "-w", "\n%{http_code}"}, args...)...)
	end := strings.LastIndex(result.Stdout, "\n")
	status, err := strconv.Atoi(result.Stdout[end+1:])
	if err != nil {
		t.Fatalf("want a response in the output of curl, found %+v", result)
	}
	return status, result.Stdout[:end]
}

// Conn is a TCP connection with a deadline.
type Conn struct {
	net.Conn
	Reader *bufio.Reader
}

// Dial connects to a gateway. The connection is closed when the test ends.
func Dial(t *testing.T, addr string) *Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(Timeout)); err != nil {
		t.Fatal(err)
	}
	return &Conn{c, bufio.NewReader(c)}
}

// Send writes bytes to the connection.
func (c *Conn) Send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// ReadResponse reads the response to a request with the method.
func (c *Conn) ReadResponse(t *testing.T, method string) Response {
	t.Helper()
	res, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("want a response, found %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("want the whole response, found %d bytes and %v", len(body), err)
	}
	return Response{res.StatusCode, res.Header, string(body)}
}

// WantClosed expects the end of the stream with no byte before it. A reset is accepted,
// because the peer may not have read everything.
func (c *Conn) WantClosed(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(c.Reader)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("want the connection closed, found it open")
	}
	if len(rest) != 0 {
		t.Errorf("want nothing more, found %.200q", rest)
	}
}

// Send sends one request on a connection of its own and returns the response.
func Send(t *testing.T, addr string, r Request) Response {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	c.Send(t, r.String())
	return c.ReadResponse(t, r.Method)
}
