package forward_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestBodySizes checks bodies around the length up to which a body is received before it is
// sent, and at MAX_BODY_BYTES. The connections are used again.
func TestBodySizes(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	tests := []struct {
		name   string
		size   int
		method string
	}{
		{"64 KiB - 1", 64<<10 - 1, http.MethodPost},
		{"64 KiB", 64 << 10, http.MethodPut},
		{"64 KiB + 1", 64<<10 + 1, http.MethodPost},
		{"at the limit", limit, http.MethodPost},
		{"at the limit, method without content", limit, http.MethodDelete},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			text := strings.Repeat("0123456789abcdef!", tt.size/17+1)[:tt.size]
			up := upstream.Answering(t, func(_ *http.Request, body string) string {
				if body != text {
					t.Errorf("the upstream got %d bytes, want the %d bytes of the client", len(body), tt.size)
				}
				return rawhttp.Empty
			})
			g := newGateway(t, options{route: w, upstream: up.Addr, maxBody: limit})
			c := rawhttp.Dial(t, g.addr)
			for range 3 {
				c.Send(rawhttp.Lines(tt.method+" /events HTTP/1.1", "Host: gateway", "Content-Length: "+strconv.Itoa(tt.size), "") + text)
				if res := c.Response(t, tt.method); res.StatusCode != http.StatusOK || res.Close {
					t.Errorf("status %d, close %t: want 200 and an open connection", res.StatusCode, res.Close)
				}
				if result := <-g.results; result.BytesIn != int64(tt.size) || result.Err != nil {
					t.Errorf("result %+v, want %d bytes in", result, tt.size)
				}
			}
			if n, closing := up.Conns(), tt.method == http.MethodDelete; closing && n != 3 || !closing && n != 1 {
				t.Errorf("%d connections to the upstream", n)
			}
		})
	}
}

// TestBodyOneOverTheLimit checks that the upstream gets no connection.
func TestBodyOneOverTheLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test waits until the server closes connections")
	}
	const limit = 1 << 20
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up, _ := recorder(t)
			g := newGateway(t, options{route: w, upstream: up.Addr, maxBody: limit})
			res := g.exchange(t, post([]string{"Content-Length: " + strconv.Itoa(limit+1)}, strings.Repeat("x", 10)))
			if have := reason(t, <-g.results); have != refusal.BodyTooLarge || res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
				t.Errorf("reason %q, status %d, close %t: want body_too_large, 413 and close", have, res.StatusCode, res.Close)
			}
			if n := up.Conns(); n != 0 {
				t.Errorf("%d connections to the upstream, want none", n)
			}
		})
	}
}

// TestLongBodyIncomplete checks that the upstream gets no complete request when the client
// stops in the middle of a long body.
func TestLongBodyIncomplete(t *testing.T) {
	t.Parallel()
	const size, sent = 1 << 20, 200 << 10
	tests := []struct {
		name   string
		closes bool
		want   refusal.Reason
	}{
		{"client closes", true, refusal.ClientClosed},
		{"client stalls", false, refusal.RequestTimeout},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan int64, 1)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				n, _ := io.Copy(io.Discard, c.Reader)
				got <- n
			})
			o := options{route: w, upstream: up.Addr, maxBody: size, readTimeout: time.Minute}
			if !tt.closes {
				waitForTimeout(t)
				o.readTimeout = soon
			}
			g := newGateway(t, o)
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{"Content-Length: " + strconv.Itoa(size)}, strings.Repeat("x", sent)))
			if tt.closes {
				_ = c.Close()
			}
			if have := reason(t, <-g.results); have != tt.want {
				t.Errorf("reason %q, want %q", have, tt.want)
			}
			if n := <-got; n > sent {
				t.Errorf("the upstream got %d bytes of the body, want at most %d", n, sent)
			}
		})
	}
}

// TestResponsePartDuringLongBody checks that the client gets a small part of a response of
// known length before it has sent its whole body, because it may wait for that part.
func TestResponsePartDuringLongBody(t *testing.T) {
	const size = 256 << 10
	half := strings.Repeat("x", size/2)
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				r, err := http.ReadRequest(c.Reader)
				if err != nil {
					return
				}
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				for _, part := range []string{"1", "2"} {
					if _, err := io.CopyN(io.Discard, r.Body, size/2); err == nil {
						c.Send(part)
					}
				}
			})
			g := newGateway(t, options{route: w, upstream: up.Addr, maxBody: size})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{"Content-Length: " + strconv.Itoa(size)}, half))
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"1", "2"} {
				part := make([]byte, 1)
				if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != want {
					t.Fatalf("part %q, %v: want %q", part, err, want)
				}
				if want == "1" {
					c.Send(half)
				}
			}
			if result := <-g.results; result.Err != nil || result.BytesIn != size {
				t.Errorf("result %+v, want all bytes in", result)
			}
		})
	}
}

// TestLongBodyBothDirections checks that the upload goes on when the response begins before
// its end.
func TestLongBodyBothDirections(t *testing.T) {
	const size = 256 << 10
	half := strings.Repeat("x", size/2)
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if r, err := http.ReadRequest(c.Reader); err == nil {
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n")
					_, _ = io.Copy(c, r.Body)
				}
			})
			g := newGateway(t, options{route: w, upstream: up.Addr, maxBody: size})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{"Content-Length: " + strconv.Itoa(size)}, half))
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, res.Body, size/2); err != nil {
				t.Fatal(err)
			}
			c.Send(half)
			if n, err := io.Copy(io.Discard, res.Body); err != nil || n != size/2 {
				t.Errorf("%d bytes, %v: want the second half", n, err)
			}
			if result := <-g.results; result.Err != nil || result.BytesIn != size || result.BytesOut != size {
				t.Errorf("result %+v, want all bytes in and out", result)
			}
		})
	}
}
