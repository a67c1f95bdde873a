package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
)

// TestUnsolicitedBytes: bytes or an end that an upstream sends on an idle connection are not
// read as a response, and no POST is written to that connection.
func TestUnsolicitedBytes(t *testing.T) {
	tests := []struct{ name, says string }{
		{"another answer", poison},
		{"request timeout", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
		{"bad request", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"},
		{"one byte", "x"},
		{"nothing, the end", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answered, late := make(chan struct{}), make(chan string, 1)
			up := newUpstream(t, func(n int, c *conn) {
				_, body, err := c.request()
				if err != nil {
					return
				}
				c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				if n > 1 {
					return
				}
				<-answered
				c.say(tt.says)
				_ = c.Conn.(*net.TCPConn).CloseWrite()
				late <- c.rest()
			})
			c := newClient(t, up.addr)
			if _, body, err := exchange(t, c, http.MethodPost, "first"); err != nil || body != "first" {
				t.Fatalf("answer %q, %v", body, err)
			}
			close(answered)
			c.AwaitDead()
			if _, body, err := exchange(t, c, http.MethodPost, "second"); err != nil || body != "second" {
				t.Errorf("answer %q, %v: want second", body, err)
			}
			if wrong := <-late; wrong != "" {
				t.Errorf("%q was written into a connection that had ended", wrong)
			}
		})
	}
}

// TestOnce: an upstream that reads a request on a kept connection and closes may have
// processed it, so it is sent again only if it is idempotent.
func TestOnce(t *testing.T) {
	tests := []struct {
		method, body, says string
		seen               int64 // connections, each with one such request
		answered           bool
	}{
		{"POST", "body", "", 1, false},
		{"POST", "", "", 1, false},
		{"PUT", "body", "", 1, false},
		{"DELETE", "", "", 1, false},
		{"GET", "body", "", 1, false},
		{"GET", "", "", 2, true},
		{"HEAD", "", "", 2, true},
		{"GET", "", "H", 1, false},
		{"GET", "", "HTTP/1.1 100 Continue\r\n\r\n", 1, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %q %q", tt.method, tt.body, tt.says), func(t *testing.T) {
			up := newUpstream(t, func(n int, c *conn) {
				_, _, _ = c.request()
				c.say(empty)
				if n == 1 {
					_, _, _ = c.request()
					c.say(tt.says)
				}
			})
			c := newClient(t, up.addr)
			if _, _, err := exchange(t, c, http.MethodPut, "x"); err != nil {
				t.Fatal(err)
			}
			_, _, err := exchange(t, c, tt.method, tt.body)
			if (err == nil) != tt.answered {
				t.Errorf("error %v, want an answer: %t", err, tt.answered)
			}
			if n := up.conns.Load(); n != tt.seen {
				t.Errorf("%d connections, want %d", n, tt.seen)
			}
		})
	}
}

// TestGetIsTriedTwiceAtMost: a GET is not sent on one closed connection after the other.
func TestGetIsTriedTwiceAtMost(t *testing.T) {
	const kept = 5
	var all sync.WaitGroup
	all.Add(kept)
	up := newUpstream(t, func(_ int, c *conn) {
		if r, _, err := c.request(); err != nil || r.Method == http.MethodGet {
			return
		}
		all.Done()
		all.Wait() // each request has its own connection
		c.say(empty)
		_, _, _ = c.request()
	})
	c := newClient(t, up.addr)
	keep(t, c, kept)
	if _, _, err := exchange(t, c, http.MethodGet, ""); err == nil {
		t.Error("want an error, found an answer")
	}
	if n := up.conns.Load(); n != kept+1 || c.Idle() != kept-1 {
		t.Errorf("%d connections and %d idle, want %d and %d", n, c.Idle(), kept+1, kept-1)
	}
}

// keep does n requests at the same time.
func keep(t *testing.T, c *testClient, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, _, err := exchange(t, c, http.MethodPut, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestTimeout: a request is not sent again after a timeout, on a kept connection neither.
func TestTimeout(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %t", kept), func(t *testing.T) {
			up := newUpstream(t, func(_ int, c *conn) {
				if kept {
					_, _, _ = c.request()
					c.say(empty)
				}
				c.rest()
			})
			c := newClient(t, up.addr)
			if kept {
				get(t, c, "")
			}
			c.SetTimeout(200 * time.Millisecond) // now the good request cannot be late
			_, _, err := exchange(t, c, http.MethodGet, "")
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("error %v, want a timeout", err)
			}
			if n := up.conns.Load(); n != 1 || c.Idle() != 0 {
				t.Errorf("%d connections and %d idle, want 1 and 0", n, c.Idle())
			}
		})
	}
}

// TestDeadlinePasses: the deadline of one request does not end the next.
func TestDeadlinePasses(t *testing.T) {
	up := newUpstream(t, func(_ int, c *conn) {
		for {
			if _, _, err := c.request(); err != nil {
				return
			}
			c.say(empty)
		}
	})
	c := newClient(t, up.addr)
	for range 3 {
		get(t, c, "")
		c.PassDeadline()
	}
	if n := up.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestCancel(t *testing.T) {
	tests := []struct{ name, answer string }{
		{"before the answer", ""},
		{"in the header", "HTTP/1.1 200 OK\r\n"},
		{"in a body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1"},
		{"in a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"},
		{"in a body until close", "HTTP/1.1 200 OK\r\n\r\n1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Often, because the moments at which it can come are many.
			for range 50 {
				got, ended := make(chan struct{}), make(chan struct{})
				up := newUpstream(t, func(_ int, c *conn) {
					_, _, _ = c.request()
					c.say(empty)
					_, _, _ = c.request()
					c.say(tt.answer)
					close(got)
					c.rest()
					close(ended)
				})
				c := newClient(t, up.addr)
				get(t, c, "")
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-got
					cancel()
				}()
				res, err := c.RoundTrip(request(ctx, http.MethodGet, ""))
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want context.Canceled", err)
				}
				if err == nil {
					t.Error("want an error, found an answer")
				}
				<-ended
				if n := up.conns.Load(); n != 1 || c.Idle() != 0 {
					t.Errorf("%d connections and %d idle, want 1 and 0", n, c.Idle())
				}
				cancel()
			}
		})
	}
}

// TestUnreachable: the error reports that nothing was sent, so the caller can use another
// address.
func TestUnreachable(t *testing.T) {
	up := newUpstream(t, func(_ int, c *conn) { _, _, _ = c.request() })
	if _, _, err := exchange(t, newClient(t, up.addr), http.MethodPost, "x"); err == nil || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v, want another: the request was sent", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, _, err := exchange(t, newClient(t, l.Addr().String()), http.MethodPost, "x"); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestCancelledBefore(t *testing.T) {
	up := newUpstream(t, func(_ int, c *conn) {
		_, _, _ = c.request()
		c.say(empty)
		if rest := c.rest(); rest != "" {
			t.Errorf("%q was sent", rest)
		}
	})
	c := newClient(t, up.addr)
	get(t, c, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.RoundTrip(request(ctx, http.MethodPost, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if c.Idle() != 1 {
		t.Errorf("%d idle, want the connection that nobody used", c.Idle())
	}
}

func TestClosedEarly(t *testing.T) {
	for _, framing := range []string{"Content-Length: 3\r\n\r\n1", "Content-Length: 1\r\n\r\n1", "Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", "\r\n1"} {
		ended := make(chan struct{})
		up := newUpstream(t, func(_ int, c *conn) {
			_, _, _ = c.request()
			c.say("HTTP/1.1 200 OK\r\n" + framing)
			c.rest()
			close(ended)
		})
		c := newClient(t, up.addr)
		res, err := c.RoundTrip(request(t.Context(), http.MethodGet, ""))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		<-ended
		if _, err := res.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("%q: error %v, want ErrBodyReadAfterClose", framing, err)
		}
		res.Body.Close()
		if c.Idle() != 0 {
			t.Errorf("%q: %d idle, want none", framing, c.Idle())
		}
	}
}

// TestRefusedRequests: a request that is not exactly one well-formed request is not sent.
func TestRefusedRequests(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"no target", func(r *http.Request) { r.URL.Opaque = "" }, "a request target"},
		{"space in the target", func(r *http.Request) { r.URL.Opaque = "/a HTTP/1.1" }, "a request target"},
		{"line in the target", func(r *http.Request) { r.URL.Opaque = "/a\r\nX: y" }, "a request target"},
		{"line in the host", func(r *http.Request) { r.Host = "a\r\nX: y" }, "a host"},
		{"no host", func(r *http.Request) { r.Host = "" }, "a host"},
		{"space in the method", func(r *http.Request) { r.Method = "GET /x" }, "a method"},
		{"no method", func(r *http.Request) { r.Method = "" }, "a method"},
		{"CR in a value", func(r *http.Request) { r.Header["X-A"] = []string{"b\rc"} }, "control characters"},
		{"LF in a value", func(r *http.Request) { r.Header["X-A"] = []string{"a", "b\nX: c"} }, "control characters"},
		{"NUL in a value", func(r *http.Request) { r.Header["X-A"] = []string{"b\x00"} }, "control characters"},
		{"line in a name", func(r *http.Request) { r.Header["X-A: b\r\nX"] = []string{"c"} }, "a header name"},
		{"space in a name", func(r *http.Request) { r.Header["Content-Length "] = []string{"9"} }, "a header name"},
		{"a length", func(r *http.Request) { r.Header["Content-Length"] = []string{"9"} }, "a header name"},
		{"a coding", func(r *http.Request) { r.Header["Transfer-Encoding"] = []string{"chunked"} }, "a header name"},
		{"a second host", func(r *http.Request) { r.Header["Host"] = []string{"other"} }, "a header name"},
		{"empty name", func(r *http.Request) { r.Header[""] = []string{"c"} }, "a header name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := newUpstream(t, func(_ int, c *conn) { c.rest() })
			r := request(t.Context(), http.MethodPost, "body")
			tt.change(r)
			if _, err := newClient(t, up.addr).RoundTrip(r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if n := up.conns.Load(); n != 0 {
				t.Errorf("%d connections, want none", n)
			}
		})
	}
}

// TestRequest: the serialized request, framed by its own body.
func TestRequest(t *testing.T) {
	heads := make(chan string, 1)
	up := newUpstream(t, func(_ int, c *conn) {
		for {
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				b, err := c.r.ReadByte()
				if err != nil {
					return
				}
				head.WriteByte(b)
			}
			if strings.Contains(head.String(), "Content-Length: 2\r\n") {
				_, _ = c.r.Discard(2)
			}
			heads <- head.String()
			c.say(empty)
		}
	})
	c := newClient(t, up.addr)
	const closed, two, zero = "Connection: close\r\n", "Content-Length: 2\r\n", "Content-Length: 0\r\n"
	tests := []struct{ method, body, framing string }{
		{"POST", "hi", two}, {"PUT", "hi", two}, {"PATCH", "hi", two},
		{"GET", "hi", two + closed}, {"HEAD", "hi", two + closed}, {"DELETE", "hi", two + closed}, {"OPTIONS", "hi", two + closed}, {"REPORT", "hi", two + closed},
		{"POST", "", zero}, {"PUT", "", zero}, {"PATCH", "", zero},
		{"GET", "", ""}, {"HEAD", "", ""}, {"DELETE", "", ""}, {"OPTIONS", "", ""},
	}
	for _, tt := range tests {
		r := request(t.Context(), tt.method, tt.body)
		r.Header = http.Header{"User-Agent": nil}
		res, err := c.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if kept := c.Idle() == 1; kept == strings.Contains(tt.framing, closed) {
			t.Errorf("%s %q: connection kept %t", tt.method, tt.body, kept)
		}
		want := tt.method + " /a?b HTTP/1.1\r\nHost: upstream\r\n" + tt.framing + "\r\n"
		if have := <-heads; have != want {
			t.Errorf("head %q, want %q", have, want)
		}
	}
}
