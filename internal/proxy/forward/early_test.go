package forward_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// A declared body of this length is not received completely before it is sent.
const (
	long         = 64<<10 + 1
	declaredLong = "Content-Length: 65537"
)

// TestEarlyResponse checks that the rest of a request body is not taken for the next
// request when the response is complete before the body. The gateway does not wait for
// the rest and closes the connection.
func TestEarlyResponse(t *testing.T) {
	t.Parallel()
	hidden := get("/hidden")
	tests := []struct{ name, framing, first, rest string }{
		{"declared", declaredLong, "abc", hidden},
		{"chunked", "Transfer-Encoding: chunked", chunks("abc"), hidden},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
				c.Rest()
			})
			g := newGateway(t, options{route: w, upstream: up.Addr, maxBody: long})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{tt.framing}, tt.first))
			res := c.Response(t, http.MethodPost)
			if res.StatusCode != http.StatusOK || res.Text != "early" || !res.Close {
				t.Errorf("response %d %q, close %t: want 200, early and close", res.StatusCode, res.Text, res.Close)
			}
			if result := <-g.results; result.Err != nil || result.Status != http.StatusOK {
				t.Errorf("result %+v, want 200", result)
			}
			c.Send(tt.rest)
			c.WantClosed(t)
			g.server.Close()
			if n := len(g.results); n != 0 {
				t.Errorf("%d more requests, want none", n)
			}
		})
	}
}

// TestEarlyFailure is TestEarlyResponse for a response of the gateway, because the
// upstream refuses connections.
func TestEarlyFailure(t *testing.T) {
	t.Parallel()
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, options{route: w, upstream: upstream.Refusing(t), maxBody: long})
			c := rawhttp.Dial(t, g.addr)
			hidden := get("/hidden")
			c.Send(post([]string{declaredLong}, "abc"))
			if res := c.Response(t, http.MethodPost); res.StatusCode != http.StatusBadGateway || !res.Close {
				t.Errorf("status %d, close %t: want 502 and close", res.StatusCode, res.Close)
			}
			<-g.results
			c.Send(hidden)
			c.WantClosed(t)
			g.server.Close()
			if n := len(g.results); n != 0 {
				t.Errorf("%d more requests, want none", n)
			}
		})
	}
}

// TestBothDirections checks that no part of the request body is lost when the response
// begins before the end of the body.
func TestBothDirections(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		r, err := http.ReadRequest(c.Reader)
		if err != nil {
			return
		}
		c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		buf := make([]byte, 3)
		for {
			n, err := io.ReadFull(r.Body, buf)
			if err != nil {
				break
			}
			c.Send(chunks(strings.ToUpper(string(buf[:n]))))
		}
		c.Send("0\r\n\r\n")
	})
	g := newGateway(t, options{upstream: up.Addr})
	c := rawhttp.Dial(t, g.addr)
	c.Send(post([]string{"Transfer-Encoding: chunked"}, ""))
	res, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one", "two", "six"} {
		c.Send(chunks(part))
		echo := make([]byte, len(part))
		if _, err := io.ReadFull(res.Body, echo); err != nil || string(echo) != strings.ToUpper(part) {
			t.Fatalf("echo %q, %v: want %s in capitals", echo, err, part)
		}
	}
	c.Send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v: want the end", rest, err)
	}
	if result := <-g.results; result.Err != nil || result.BytesIn != 9 || result.BytesOut != 9 {
		t.Errorf("result %+v, want 9 bytes in and 9 out", result)
	}
}

func TestClientCloses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, response string }{
		{"before the response", ""},
		{"in a stream", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks("event")},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			begun, ended := make(chan struct{}), make(chan struct{})
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				c.Send(tt.response)
				close(begun)
				c.Rest()
				close(ended)
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			c := rawhttp.Dial(t, g.addr)
			c.Send(get("/"))
			<-begun
			if tt.response != "" {
				if _, err := c.Reader.ReadString('t'); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			<-ended // the request to the upstream has been canceled
			if have := reason(t, <-g.results); have != refusal.ClientClosed {
				t.Errorf("reason %q, want client_closed", have)
			}
		})
	}
}

func TestUpstreamStopsReading(t *testing.T) {
	t.Parallel()
	waitForTimeout(t)
	stuck := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		<-stuck
	})
	const huge = 64 << 20 // more than the socket buffers hold
	g := newGateway(t, options{upstream: up.Addr, timeout: soon, maxBody: huge})
	t.Cleanup(func() { close(stuck) })
	c := rawhttp.Dial(t, g.addr)
	c.Send(post([]string{"Content-Length: " + strconv.Itoa(huge)}, ""))
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c.Conn, io.LimitReader(zeros{}, huge))
		sent <- err
	}()
	if have := reason(t, <-g.results); have != refusal.UpstreamTimeout {
		t.Errorf("reason %q, want upstream_timeout", have)
	}
	c.Close()
	if err := <-sent; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the client sent everything: want the socket buffers to be full first")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
