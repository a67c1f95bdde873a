package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// bufferedBodies are responses whose body has arrived with the header in whole or in
// part.
var bufferedBodies = []struct {
	name, method, response, later string
	whole                         bool
	body                          string
	again                         bool
}{
	{"complete", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "", true, "hi", true},
	{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true, "", true},
	{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true, "", true},
	{"no content with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", "", true, "", false},
	{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", true, "", true},
	{"complete, then closed", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", "", true, "hi", false},
	{"a part", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", "i", false, "hi", true},
	{"nothing yet", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "hi", false, "hi", true},
	{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "", false, "hi", true},
	{"surplus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + poison, "", true, "hi", false},
	{"surplus after head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "", true, "", false},
}

// TestBuffered: the part of a body that has arrived with the header is returned at once, and
// the next request gets its own response.
func TestBuffered(t *testing.T) {
	for _, tt := range bufferedBodies {
		t.Run(tt.name, func(t *testing.T) {
			read := make(chan struct{}, 1)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				for {
					r, _, err := c.Request()
					switch {
					case err != nil:
						return
					case r.Method == http.MethodPut:
						c.Send(rawhttp.Empty)
					default:
						c.Send(tt.response)
						<-read
						c.Send(tt.later)
					}
				}
			})
			c := newClient(t, up.Addr)
			a := do(t, c, tt.method)
			body, whole := a.Buffered()
			have := string(body)
			read <- struct{}{}
			if !whole {
				rest, err := io.ReadAll(a.Body)
				if have += string(rest); err != nil {
					t.Error(err)
				}
			}
			if have != tt.body || whole != tt.whole {
				t.Errorf("body %q, whole at once %t: want %q, %t", have, whole, tt.body, tt.whole)
			}
			if n, err := a.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes more, %v", n, err)
			}
			_ = a.Body.Close()
			_ = a.Body.Close()
			if _, body, err := exchange(t, c, http.MethodPut, "x"); err != nil || body != "" {
				t.Errorf("the next response is %q, %v: want its own", body, err)
			}
			if again := up.Conns() == 1; again != tt.again {
				t.Errorf("used again %t, want %t", again, tt.again)
			}
		})
	}
}

// TestBufferedStaysValid: until the body is closed, no other request gets the connection
// and its buffer, which contains the bytes.
func TestBufferedStaysValid(t *testing.T) {
	up := upstream.New(t, func(n int, c *rawhttp.Conn) {
		for {
			if _, _, err := c.Request(); err != nil {
				return
			}
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n))
		}
	})
	c := newClient(t, up.Addr)
	first := do(t, c, http.MethodGet)
	body, _ := first.Buffered()
	second := do(t, c, http.MethodGet)
	other, _ := second.Buffered()
	if string(body) != "1" || string(other) != "2" {
		t.Errorf("bodies %q and %q, want 1 and 2", body, other)
	}
	_ = first.Body.Close()
	_ = second.Body.Close()
	if n := c.Idle(); n != 2 {
		t.Errorf("%d connections are kept, want 2", n)
	}
}

// TestBufferedOfAnotherType: only bodies of this package are returned.
func TestBufferedOfAnotherType(t *testing.T) {
	a := client.Response{Body: io.NopCloser(strings.NewReader("hi"))}
	if body, ok := a.Buffered(); ok {
		t.Errorf("took %q", body)
	}
}

// TestSlowResponseBody: a body may take longer than any deadline of the header.
func TestSlowResponseBody(t *testing.T) {
	for _, framed := range []string{"Content-Length: 3\r\n\r\nh", "Transfer-Encoding: chunked\r\n\r\n3\r\nh", "\r\nh"} {
		up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
			_, _, _ = c.Request()
			c.Send("HTTP/1.1 200 OK\r\n" + framed)
			time.Sleep(3 * client.InitialDeadline)
			c.Send("ey\r\n0\r\n\r\n")
		})
		_, body, err := exchange(t, newClient(t, up.Addr), http.MethodGet, "")
		if err != nil || !strings.HasPrefix(body, "hey") {
			t.Errorf("%q: body %q, %v: want hey", framed, body, err)
		}
	}
}

func do(t *testing.T, c *testClient, method string) client.Response {
	t.Helper()
	var m client.Request
	m.Begin(method, "/", "upstream")
	m.End()
	a, err := c.Do(t.Context(), &m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStreamHoldsSmallBuffer: a response that arrives slowly, such as a stream of events, does
// not hold one of the large buffers while it waits.
func TestStreamHoldsSmallBuffer(t *testing.T) {
	for _, tt := range []struct{ name, response, later string }{
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "2\r\nhi\r\n"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "hi"},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nhi", "hi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read := make(chan struct{})
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _, _ = c.Request()
				c.Send(tt.response)
				<-read
				c.Send(tt.later)
				<-read
			})
			defer close(read)
			res := do(t, newClient(t, up.Addr), http.MethodGet)
			defer res.Body.Close()
			p := make([]byte, 2)
			for i := range 2 {
				if _, err := io.ReadFull(res.Body, p); err != nil || string(p) != "hi" {
					t.Fatalf("%q, %v: want hi", p, err)
				}
				if i == 0 {
					read <- struct{}{}
				}
			}
			if n := client.BufferSize(res); n > 4<<10 {
				t.Errorf("the response holds a buffer of %d bytes, want at most 4 KiB", n)
			}
		})
	}
}
