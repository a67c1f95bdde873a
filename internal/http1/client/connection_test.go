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
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestUnsolicitedBytes: bytes or an end that an upstream sends on an idle connection are not
// read as a response, and no POST is written to that connection.
func TestUnsolicitedBytes(t *testing.T) {
	tests := []struct{ name, sent string }{
		{"another response", poison},
		{"request timeout", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
		{"bad request", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"},
		{"one byte", "x"},
		{"the end only", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			responded, late := make(chan struct{}), make(chan string, 1)
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				_, body, err := c.Request()
				if err != nil {
					return
				}
				c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				if n > 1 {
					return
				}
				<-responded
				c.Send(tt.sent)
				_ = c.CloseWrite()
				late <- c.Rest()
			})
			c := newClient(t, up.Addr)
			if _, body, err := exchange(t, c, http.MethodPost, "first"); err != nil || body != "first" {
				t.Fatalf("response %q, %v", body, err)
			}
			close(responded)
			c.AwaitDead()
			if _, body, err := exchange(t, c, http.MethodPost, "second"); err != nil || body != "second" {
				t.Errorf("response %q, %v: want second", body, err)
			}
			if wrong := <-late; wrong != "" {
				t.Errorf("%q was written to a closed connection", wrong)
			}
		})
	}
}

// TestOnce: an upstream that reads a request on a kept connection and closes may have
// processed it, so it is sent again only if it is idempotent.
func TestOnce(t *testing.T) {
	tests := []struct {
		method, body, second string
		seen                 int // connections, each with one such request
		responded            bool
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
		t.Run(fmt.Sprintf("%s %q %q", tt.method, tt.body, tt.second), func(t *testing.T) {
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				_, _, _ = c.Request()
				c.Send(rawhttp.Empty)
				if n == 1 {
					_, _, _ = c.Request()
					c.Send(tt.second)
				}
			})
			c := newClient(t, up.Addr)
			if _, _, err := exchange(t, c, http.MethodPut, "x"); err != nil {
				t.Fatal(err)
			}
			_, _, err := exchange(t, c, tt.method, tt.body)
			if (err == nil) != tt.responded {
				t.Errorf("error %v, want a response: %t", err, tt.responded)
			}
			if n := up.Conns(); n != tt.seen {
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
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		if r, _, err := c.Request(); err != nil || r.Method == http.MethodGet {
			return
		}
		all.Done()
		all.Wait() // each request has its own connection
		c.Send(rawhttp.Empty)
		_, _, _ = c.Request()
	})
	c := newClient(t, up.Addr)
	keep(t, c, kept)
	if _, _, err := exchange(t, c, http.MethodGet, ""); err == nil {
		t.Error("want an error, found a response")
	}
	if n := up.Conns(); n != kept+1 || c.Idle() != kept-1 {
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

// TestTimeout: a request is not sent again after a timeout, on a new or on a kept connection.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %t", kept), func(t *testing.T) {
			t.Parallel()
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if kept {
					_, _, _ = c.Request()
					c.Send(rawhttp.Empty)
				}
				c.Rest()
			})
			c := newClient(t, up.Addr)
			if kept {
				get(t, c, "")
			}
			c.SetTimeout(200 * time.Millisecond) // set after the first request, which must not time out on a busy machine
			_, _, err := exchange(t, c, http.MethodGet, "")
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("error %v, want a timeout", err)
			}
			if n := up.Conns(); n != 1 || c.Idle() != 0 {
				t.Errorf("%d connections and %d idle, want 1 and 0", n, c.Idle())
			}
		})
	}
}

// TestDeadlinePasses: the deadline of one request does not end the next.
func TestDeadlinePasses(t *testing.T) {
	up := upstream.Answering(t, func(*http.Request, string) string { return rawhttp.Empty })
	c := newClient(t, up.Addr)
	for range 3 {
		get(t, c, "")
		c.PassDeadline()
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, response string }{
		{"before the response", ""},
		{"in the header", "HTTP/1.1 200 OK\r\n"},
		{"in a body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1"},
		{"in a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"},
		{"in a body until close", "HTTP/1.1 200 OK\r\n\r\n1"},
	}
	for _, tt := range tests {
		// Repeated, because the cancellation can arrive at many different moments.
		for range 20 {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				cancelDuring(t, tt.response)
			})
		}
	}
}

// cancelDuring cancels a request when the upstream has sent this part of the response.
func cancelDuring(t *testing.T, response string) {
	t.Helper()
	got, ended := make(chan struct{}), make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send(rawhttp.Empty)
		_, _, _ = c.Request()
		c.Send(response)
		close(got)
		c.Rest()
		close(ended)
	})
	c := newClient(t, up.Addr)
	get(t, c, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
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
		t.Error("want an error, found a response")
	}
	<-ended
	if n := up.Conns(); n != 1 || c.Idle() != 0 {
		t.Errorf("%d connections and %d idle, want 1 and 0", n, c.Idle())
	}
}

// TestUnreachable: the error reports that nothing was sent, so the caller can use another
// address.
func TestUnreachable(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) { _, _, _ = c.Request() })
	if _, _, err := exchange(t, newClient(t, up.Addr), http.MethodPost, "x"); err == nil || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v, want another: the request was sent", err)
	}
	if _, _, err := exchange(t, newClient(t, upstream.Refusing(t)), http.MethodPost, "x"); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestCancelledBefore(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send(rawhttp.Empty)
		if rest := c.Rest(); rest != "" {
			t.Errorf("the upstream received %q, want nothing", rest)
		}
	})
	c := newClient(t, up.Addr)
	get(t, c, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.RoundTrip(request(ctx, http.MethodPost, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if c.Idle() != 1 {
		t.Errorf("%d idle, want the unused connection", c.Idle())
	}
}

func TestClosedEarly(t *testing.T) {
	for _, framing := range []string{"Content-Length: 3\r\n\r\n1", "Content-Length: 1\r\n\r\n1", "Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", "\r\n1"} {
		ended := make(chan struct{})
		up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
			_, _, _ = c.Request()
			c.Send("HTTP/1.1 200 OK\r\n" + framing)
			c.Rest()
			close(ended)
		})
		c := newClient(t, up.Addr)
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
		{"tab in the target", func(r *http.Request) { r.URL.Opaque = "/a\tHTTP/1.1" }, "a request target"},
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
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) { c.Rest() })
			r := request(t.Context(), http.MethodPost, "body")
			tt.change(r)
			if _, err := newClient(t, up.Addr).RoundTrip(r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if n := up.Conns(); n != 0 {
				t.Errorf("%d connections, want none", n)
			}
		})
	}
}

// TestRequest: the serialized request, framed by its own body.
func TestRequest(t *testing.T) {
	heads := make(chan string, 1)
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for {
			head, err := c.Head()
			if err != nil {
				return
			}
			if strings.Contains(head, "Content-Length: 2\r\n") {
				_, _ = c.Reader.Discard(2)
			}
			heads <- head
			c.Send(rawhttp.Empty)
		}
	})
	c := newClient(t, up.Addr)
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
		want := tt.method + " /a?b HTTP/1.1\r\nHost: upstream\r\n" + tt.framing
		if have := <-heads; have != want {
			t.Errorf("head %q, want %q", have, want)
		}
	}
}
