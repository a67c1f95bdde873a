package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

func newForwarder(addr string) *forward.Forwarder {
	return forward.New(forward.Options{
		FastPath: true,
		Pool:     pool(addr), Timeout: time.Minute,
		MaxBodyBytes: maxBody, CredentialHeaders: []string{credentialHeader},
	})
}

func newServer(t *testing.T, handler http.HandlerFunc) (addr string) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// dated returns the response with a Date field if package http1/server serves the client. Without one,
// that server would have to add it and could not forward the header unchanged.
func dated(w route, response string) string {
	if w != allFast {
		return response
	}
	line := regexp.MustCompile(`(?m)^HTTP/1\.[01] [2-5].*\r\n`)
	return line.ReplaceAllString(response, "${0}Date: Sun, 22 Nov 2026 08:00:00 GMT\r\n")
}

// TestResponse checks which header fields of a response are forwarded, apart from Date.
func TestResponse(t *testing.T) {
	tests := []struct {
		name, method, response string
		status                 int
		header                 http.Header
		body                   string
	}{
		{"plain", "GET", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nContent-Type: a/b\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nhi", 201,
			http.Header{"Content-Length": {"2"}, "Content-Type": {"a/b"}, "Set-Cookie": {"a=b", "c=d"}}, "hi"},
		{"no content type is added", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 200, http.Header{"Content-Length": {"6"}}, "<html>"},
		{"not found, empty", "GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, http.Header{"Content-Length": {"0"}}, ""},
		{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\n", 200, http.Header{"Content-Length": {"5"}, "Content-Type": {"a/b"}}, ""},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", 204, http.Header{"X-A": {"b"}}, ""},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", 304, http.Header{"Etag": {`"x"`}}, ""},
		{"redirect is not followed", "GET", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302, http.Header{"Content-Length": {"0"}, "Location": {"http://127.0.0.1:1/"}}, ""},
		{"compressed body is unchanged", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nxyz", 200, http.Header{"Content-Length": {"3"}, "Content-Encoding": {"gzip"}}, "xyz"},
		{"until close", "GET", "HTTP/1.0 200 OK\r\n\r\nhi", 200, http.Header{}, "hi"},
		{"hop by hop", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: a\r\nKeep-Alive: b\r\nProxy-Authenticate: c\r\nUpgrade: d\r\nTe: e\r\nX-End: f\r\n\r\n", 200,
			http.Header{"Content-Length": {"0"}, "X-End": {"f"}}, ""},
		{"64 options in Connection", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: " + strings.Repeat("x,", 63) + "x_hop\r\nX-Hop: a\r\nX-End: f\r\n\r\n", 200,
			http.Header{"Content-Length": {"0"}, "X-End": {"f"}}, ""},
		{"trailers", "GET", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", 200, http.Header{}, "hi"},
		{"another request id", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: other\r\n\r\n", 200, http.Header{"Content-Length": {"0"}}, ""},
		{"early hints first", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, http.Header{"Content-Length": {"0"}}, ""},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			up := answering(t, dated(w, tt.response))
			g := newGateway(t, options{route: w, upstream: up.Addr})
			res := g.exchange(t, rawhttp.Lines(tt.method+" / HTTP/1.1", "Host: gateway", ""))
			res.Header.Del("Date")
			tt.header["X-Request-Id"], tt.header["Vary"] = []string{"r-1"}, []string{credentialHeader}
			if !reflect.DeepEqual(res.Header, tt.header) || res.StatusCode != tt.status {
				t.Errorf("status %d, want %d; header %q, want %q", res.StatusCode, tt.status, res.Header, tt.header)
			}
			if res.Text != tt.body || res.Err != nil || len(res.Trailer) > 0 || res.Close {
				t.Errorf("body %q, %v, trailer %v, close %t: want %q and nothing else", res.Text, res.Err, res.Trailer, res.Close, tt.body)
			}
			want := forward.Result{Status: tt.status, BytesOut: int64(len(tt.body))}
			if have := <-g.results; have != want {
				t.Errorf("result %+v, want %+v", have, want)
			}
		})
	}
}

// TestInvalidResponse checks that the gateway replaces an invalid response with its own.
func TestInvalidResponse(t *testing.T) {
	tests := []struct {
		name, response string
		want           refusal.Reason
	}{
		{"hangs up", "", refusal.UpstreamFailed},
		{"not HTTP", "SSH-2.0-x\r\n", refusal.UpstreamFailed},
		{"switches protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", refusal.UpstreamFailed},
		{"status 0", "HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n", refusal.UpstreamFailed},
		{"status below 100", "HTTP/1.1 099 Less\r\nContent-Length: 0\r\n\r\n", refusal.UpstreamFailed},
		{"header too long", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 70<<10) + "\r\nContent-Length: 0\r\n\r\n", refusal.UpstreamFailed},
		{"too many headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 10<<10) + "Content-Length: 0\r\n\r\n", refusal.UpstreamFailed},
		{"unlimited early hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10<<10), refusal.UpstreamFailed},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", refusal.UpstreamFailed},
		{"65 options in Connection", "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: " + strings.Repeat("x,", 64) + "x\r\nContent-Length: 0\r\n\r\n", refusal.UpstreamFailed},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			up := answering(t, dated(w, tt.response))
			g := newGateway(t, options{route: w, upstream: up.Addr})
			res := g.exchange(t, get("/"))
			if res.StatusCode != tt.want.Status() || res.Text != string(tt.want)+"\n" {
				t.Errorf("response %d %q, want %d %s", res.StatusCode, res.Text, tt.want.Status(), tt.want)
			}
			if have := reason(t, <-g.results); have != tt.want {
				t.Errorf("reason %q, want %q", have, tt.want)
			}
		})
	}
}

func TestUpstreamRefuses(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			g := newGateway(t, options{route: w, upstream: upstream.Refusing(t)})
			if res := g.exchange(t, get("/")); res.StatusCode != http.StatusBadGateway {
				t.Errorf("status %d, want 502", res.StatusCode)
			}
			if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
				t.Errorf("reason %q, want upstream_failed", have)
			}
		})
	}
}

func TestUpstreamNeverResponds(t *testing.T) {
	t.Parallel()
	waitForTimeout(t)
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) { c.Rest() })
			g := newGateway(t, options{route: w, upstream: up.Addr, timeout: soon})
			if res := g.exchange(t, get("/")); res.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("status %d, want 504", res.StatusCode)
			}
			if have := reason(t, <-g.results); have != refusal.UpstreamTimeout {
				t.Errorf("reason %q, want upstream_timeout", have)
			}
		})
	}
}

// TestTruncatedResponse checks that a truncated response is not delivered to the client
// as a complete one.
func TestTruncatedResponse(t *testing.T) {
	tests := []struct{ name, response string }{
		{"declared", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"},
		{"declared, no body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks("123")},
		{"chunked, inside a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123"},
		{"chunked, malformed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks("123") + "nonsense\r\n"},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			up := answering(t, dated(w, tt.response))
			g := newGateway(t, options{route: w, upstream: up.Addr})
			c := rawhttp.Dial(t, g.addr)
			c.Send(get("/"))
			// The header may or may not have been sent when the connection breaks.
			if res, err := http.ReadResponse(c.Reader, nil); err == nil {
				if body, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("the client got %q as a whole", body)
				}
			}
			result := <-g.results
			if have := reason(t, result); have != refusal.UpstreamFailed || result.Status != http.StatusOK {
				t.Errorf("status %d, reason %q: want 200 and upstream_failed", result.Status, have)
			}
		})
	}
}

// TestBodyTooLargeAfterResponse checks that a request body that exceeds the limit after
// the response has begun is reported as the client's error and not the upstream's.
func TestBodyTooLargeAfterResponse(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until the server closes connections")
	}
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		c.Rest()
	})
	g := newGateway(t, options{upstream: up.Addr})
	c := rawhttp.Dial(t, g.addr)
	c.Send(post([]string{"Transfer-Encoding: chunked"}, ""))
	res, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Send(chunks(strings.Repeat("x", maxBody+1)))
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client got %q as a whole", body)
	}
	if have := reason(t, <-g.results); have != refusal.BodyTooLarge {
		t.Errorf("reason %q, want body_too_large", have)
	}
}

// TestStream checks that a streamed response arrives part by part. The upstream sends
// each part after the client has received the previous one.
func TestStream(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			next := make(chan struct{})
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 3 {
					<-next
					c.Send(chunks("data: x\n\n"))
				}
				<-next
				c.Send("0\r\n\r\n")
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			c := rawhttp.Dial(t, g.addr)
			c.Send(get("/"))
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				next <- struct{}{}
				event := make([]byte, len("data: x\n\n"))
				if _, err := io.ReadFull(res.Body, event); err != nil || string(event) != "data: x\n\n" {
					t.Fatalf("event %q, %v", event, err)
				}
			}
			next <- struct{}{}
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				t.Errorf("rest %q, %v: want the end", rest, err)
			}
		})
	}
}

// TestSurplusIsDiscarded checks that bytes after a response are not taken for the response
// to the next request, even if that request arrives immediately.
func TestSurplusIsDiscarded(t *testing.T) {
	t.Parallel()
	response := func(body string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body }
	up := upstream.Answering(t, func(r *http.Request, _ string) string {
		if r.Method == http.MethodHead {
			return response(response("evil"))
		}
		return response("good")
	})
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			g := newGateway(t, options{route: w, upstream: up.Addr})
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() { wantGood(t, g.addr) })
			}
			all.Wait()
		})
	}
}

// wantGood sends HEAD and GET requests alternately and checks the responses.
func wantGood(t *testing.T, addr string) {
	t.Helper()
	c := rawhttp.Dial(t, addr)
	for range rounds(30) {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			c.Send(method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
			res, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
			if err != nil {
				t.Error(err)
				return
			}
			if body, err := io.ReadAll(res.Body); string(body) == "evil" || err != nil {
				t.Errorf("%s: %q, %v", method, body, err)
				return
			}
		}
	}
}
