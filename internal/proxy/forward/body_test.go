package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// wholeRequests starts an upstream that parses HTTP requests and sends each request and
// each complete body to a channel.
func wholeRequests(t *testing.T) (*upstream.Server, chan *http.Request, chan string) {
	t.Helper()
	requests, bodies := make(chan *http.Request, 10), make(chan string, 10)
	return upstream.Answering(t, func(r *http.Request, body string) string {
		requests <- r
		bodies <- body
		return rawhttp.Empty
	}), requests, bodies
}

func chunks(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String()
}

func TestBody(t *testing.T) {
	full := strings.Repeat("x", maxBody)
	tests := []struct {
		name    string
		framing string
		sent    string
		want    string
		length  int64
	}{
		{"declared", "Content-Length: 5", "12345", "12345", 5},
		{"declared, at the limit", "Content-Length: " + strconv.Itoa(maxBody), full, full, maxBody},
		{"chunked", "Transfer-Encoding: chunked", chunks("123", "45") + "0\r\n\r\n", "12345", -1},
		{"chunked and empty", "Transfer-Encoding: chunked", "0\r\n\r\n", "", -1},
		{"chunked, at the limit", "Transfer-Encoding: chunked", chunks(full[:600], full[600:]) + "0\r\n\r\n", full, -1},
		{"chunked with extensions", "Transfer-Encoding: chunked", "3;a=b\r\n123\r\n0;c\r\n\r\n", "123", -1},
		{"chunked with a trailer", "Trailer: X-Client-Id\r\nTransfer-Encoding: chunked", chunks("123") + "0\r\nX-Client-Id: root\r\n\r\n", "123", -1},
	}
	up, requests, bodies := wholeRequests(t)
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			g := newGateway(t, options{route: w, upstream: up.Addr})
			res := g.exchange(t, post([]string{tt.framing}, tt.sent))
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d, want 200", res.StatusCode)
			}
			r, body := <-requests, <-bodies
			if body != tt.want || r.ContentLength != tt.length {
				t.Errorf("the upstream got %q, length %d: want %q, length %d", body, r.ContentLength, tt.want, tt.length)
			}
			if len(r.Trailer) > 0 {
				t.Errorf("the upstream got the trailer %v", r.Trailer)
			}
			if result := <-g.results; result.BytesIn != int64(len(tt.want)) || result.Err != nil {
				t.Errorf("result %+v, want %d bytes in and no error", result, len(tt.want))
			}
		})
	}
}

// TestDeclaredTooLarge checks that a declared length above the limit is refused before a
// connection to the upstream is opened.
func TestDeclaredTooLarge(t *testing.T) {
	up, _ := recorder(t)
	g := newGateway(t, options{upstream: up.Addr})
	res := g.exchange(t, post([]string{"Content-Length: " + strconv.Itoa(maxBody+1)}, ""))
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", res.StatusCode)
	}
	if have := reason(t, <-g.results); have != refusal.BodyTooLarge {
		t.Errorf("reason %q, want body_too_large", have)
	}
	if n := up.Conns(); n != 0 {
		t.Errorf("the upstream got %d connections, want none", n)
	}
}

// TestBodyExceedsLimit checks that a chunked body one byte above the limit is refused, and
// that the upstream does not receive a complete request.
func TestBodyExceedsLimit(t *testing.T) {
	got := make(chan string, 1)
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		got <- c.Rest()
	})
	g := newGateway(t, options{upstream: up.Addr})
	res := g.exchange(t, post([]string{"Transfer-Encoding: chunked"}, chunks(strings.Repeat("x", maxBody), "y")+"0\r\n\r\n"))
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", res.StatusCode)
	}
	if !res.Close {
		t.Error("want the connection closed: the rest of the body is on it")
	}
	if have := reason(t, <-g.results); have != refusal.BodyTooLarge {
		t.Errorf("reason %q, want body_too_large", have)
	}
	if body := <-got; strings.HasSuffix(body, "0\r\n\r\n") || strings.Contains(body, "y") {
		t.Errorf("the upstream got %q: want it truncated and without the byte above the limit", body)
	}
}

// TestTruncatedBody checks that the upstream does not receive a complete request when the
// client truncates its body.
func TestTruncatedBody(t *testing.T) {
	tests := []struct {
		name, framing, sent string
		want                refusal.Reason
	}{
		{"declared", "Content-Length: 10", "123", refusal.ClientClosed},
		{"chunked", "Transfer-Encoding: chunked", chunks("123"), refusal.ClientClosed},
		{"chunked, malformed", "Transfer-Encoding: chunked", chunks("123") + "nonsense\r\n", refusal.RequestMalformed},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			got := make(chan string, 1)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				got <- c.Rest()
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{tt.framing}, tt.sent))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if have := reason(t, <-g.results); have != tt.want {
				t.Errorf("reason %q, want %q", have, tt.want)
			}
			if tt.name == "declared" {
				// The body is read completely before a connection to the upstream is opened.
				if n := up.Conns(); n != 0 {
					t.Errorf("the upstream got %d connections, want none", n)
				}
				return
			}
			if body := <-got; strings.HasSuffix(body, "0\r\n\r\n") {
				t.Errorf("the upstream got %q: want no valid end of the body", body)
			}
		})
	}
}

func TestClientStalls(t *testing.T) {
	t.Parallel()
	waitForTimeout(t)
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) { c.Rest() })
			g := newGateway(t, options{route: w, upstream: up.Addr, readTimeout: soon})
			res := g.exchange(t, post([]string{"Content-Length: 10"}, "123"))
			if res.StatusCode != http.StatusRequestTimeout {
				t.Errorf("status %d, want 408", res.StatusCode)
			}
			if have := reason(t, <-g.results); have != refusal.RequestTimeout {
				t.Errorf("reason %q, want request_timeout", have)
			}
		})
	}
}

// TestSentOnce checks that the gateway does not send a request again after the upstream
// has closed the connection. The upstream may have processed the request, so only the
// client may repeat it.
func TestSentOnce(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		body    string
	}{
		{"empty", []string{"Content-Length: 0"}, ""},
		{"empty, Idempotency-Key", []string{"Content-Length: 0", "Idempotency-Key: k"}, ""},
		{"empty, X-Idempotency-Key", []string{"Content-Length: 0", "X-Idempotency-Key: k"}, ""},
		{"body", []string{"Content-Length: 3"}, "abc"},
		{"body, Idempotency-Key", []string{"Content-Length: 3", "Idempotency-Key: k"}, "abc"},
		{"chunked, Idempotency-Key", []string{"Transfer-Encoding: chunked", "Idempotency-Key: k"}, chunks("abc") + "0\r\n\r\n"},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			posts := make(chan string, 10)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				// Each connection first responds to a GET, so that the POST uses a kept
				// connection: net/http's transport repeats requests on such connections only.
				for {
					r, err := http.ReadRequest(c.Reader)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(r.Body)
					if r.Method == http.MethodPost {
						posts <- string(body)
						return
					}
					c.Send(rawhttp.Empty)
				}
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			g.exchange(t, get("/"))
			<-g.results
			res := g.exchange(t, post(tt.headers, tt.body))
			if res.StatusCode != http.StatusBadGateway {
				t.Errorf("status %d, want 502", res.StatusCode)
			}
			if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
				t.Errorf("reason %q, want upstream_failed", have)
			}
			if n := len(posts); n != 1 {
				t.Errorf("the upstream got the request %d times, want once", n)
			}
		})
	}
}

func TestNoGrant(t *testing.T) {
	up, _ := recorder(t)
	f := newForwarder(up.Addr)
	defer f.Close()
	refused := make(chan forward.Result, 1)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		result := f.Forward(w, r, f.Body(w, r), access.Grant{}, &hop)
		refused <- result
		finish(w, result)
	})
	res := gateway{addr: s}.exchange(t, get("/"))
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", res.StatusCode)
	}
	if have := reason(t, <-refused); have != refusal.Internal {
		t.Errorf("reason %q, want internal", have)
	}
	if n := up.Conns(); n != 0 {
		t.Errorf("the upstream got %d connections, want none", n)
	}
}
