package rawhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// recorder is a TB that collects failures.
type recorder struct {
	*testing.T

	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// TestEnd checks which ends of a connection WantEOF and WantClosed accept.
func TestEnd(t *testing.T) {
	tests := []struct {
		name        string
		end         func(c *rawhttp.Conn)
		eof, closed bool
	}{
		{"closed", func(*rawhttp.Conn) {}, true, true},
		{"reset", func(c *rawhttp.Conn) { _ = c.Conn.(*net.TCPConn).SetLinger(0) }, false, true},
		{"one byte", func(c *rawhttp.Conn) { c.Send("x") }, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				tt.end(c)
			})
			ended := func() *rawhttp.Conn {
				c := rawhttp.Dial(t, up.Addr)
				c.Send(rawhttp.Lines(""))
				return c
			}
			eof, closed := &recorder{T: t}, &recorder{T: t}
			ended().WantEOF(eof)
			ended().WantClosed(closed)
			if len(eof.failures) == 0 != tt.eof || len(closed.failures) == 0 != tt.closed {
				t.Errorf("want EOF accepted %t and close accepted %t, found the failures %q and %q", tt.eof, tt.closed, eof.failures, closed.failures)
			}
		})
	}
}

// TestNotClosed checks that WantClosed and WantEOF fail after the deadline of the connection.
func TestNotClosed(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) { c.Rest() })
	for name, check := range map[string]func(*rawhttp.Conn, rawhttp.TB){"closed": (*rawhttp.Conn).WantClosed, "EOF": (*rawhttp.Conn).WantEOF} {
		c := rawhttp.Dial(t, up.Addr)
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		failed := &recorder{T: t}
		if check(c, failed); len(failed.failures) != 1 || !strings.Contains(failed.failures[0], "timeout") {
			t.Errorf("%s: want a failure because of the deadline, found %q", name, failed.failures)
		}
	}
}

// TestExchange checks both ends of a connection with a request and a response that have bodies.
func TestExchange(t *testing.T) {
	up := upstream.Answering(t, func(r *http.Request, body string) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + r.Method + " " + r.RequestURI + " " + body
	})
	c := rawhttp.Dial(t, up.Addr)
	c.Send(rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if res := c.Response(t, http.MethodPost); res.StatusCode != http.StatusOK || res.Text != "POST /a abc" || !errors.Is(res.Err, io.ErrUnexpectedEOF) {
		t.Errorf("want the request in a truncated response, found %d %q and %v", res.StatusCode, res.Text, res.Err)
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("want one connection, found %d", n)
	}
}

// TestHead checks that Head returns the lines before the empty line.
func TestHead(t *testing.T) {
	heads := make(chan string, 2)
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for range 2 {
			head, err := c.Head()
			heads <- fmt.Sprint(head, err)
		}
	})
	c := rawhttp.Dial(t, up.Addr)
	c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GET / HTTP/1.1\r\nHost: h\r\n<nil>", "EOF"} {
		if have := <-heads; have != want {
			t.Errorf("want %q, found %q", want, have)
		}
	}
}
