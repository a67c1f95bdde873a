package forward_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pools "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestContentClosesTheConnection checks that a request with content and a method that
// usually has none is sent with Connection: close, and that the connection is
// not reused even if the service keeps it open.
func TestContentClosesTheConnection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method string
		close  bool
	}{
		{"GET", true}, {"HEAD", true}, {"DELETE", true}, {"OPTIONS", true}, {"REPORT", true},
		{"POST", false}, {"PUT", false}, {"PATCH", false},
	}
	framings := []struct {
		name, lines, body string
		content           bool
	}{
		{"declared", "Content-Length: 3", "abc", true},
		{"chunked", "Transfer-Encoding: chunked", chunks("abc", ""), true},
		{"no content", "Content-Length: 0", "", false},
	}
	for w, tt := range allRoutes(tests) {
		for _, framing := range framings {
			t.Run(fmt.Sprintf("%s/%s/%s", w, tt.method, framing.name), func(t *testing.T) {
				got := make(chan *http.Request, 10)
				up := upstream.Answering(t, func(r *http.Request, _ string) string {
					got <- r
					return rawhttp.Empty
				})
				g := newGateway(t, options{route: w, upstream: up.Addr})
				request := rawhttp.Lines(tt.method+" / HTTP/1.1", "Host: gateway", framing.lines, "") + framing.body
				if res := g.exchange(t, request); res.StatusCode != http.StatusOK {
					t.Fatalf("status %d, want 200", res.StatusCode)
				}
				want := tt.close && framing.content
				if r := <-got; r.Close != want {
					t.Errorf("Connection %q, want it closed: %t", r.Header["Connection"], want)
				}
				g.exchange(t, rawhttp.Lines("POST / HTTP/1.1", "Host: gateway", framing.lines, "")+framing.body)
				if n := up.Conns(); (n == 2) != want {
					t.Errorf("%d connections, want another one: %t", n, want)
				}
			})
		}
	}
}

// TestAnnouncedBody checks that the connection is closed after a response that announces a
// body although its status allows none. Otherwise, that body could be taken for the
// response to the next request.
func TestAnnouncedBody(t *testing.T) {
	tests := []struct {
		name, response string
		again          bool
	}{
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"204 with length zero", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", false},
		{"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"304", "HTTP/1.1 304 Not Modified\r\n\r\n", true},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", false},
		{"304 with chunks", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				for {
					head, err := c.Head()
					switch {
					case err != nil:
						return
					case strings.HasPrefix(head, "GET /first "):
						c.Send(tt.response)
					case n == 1 && !tt.again:
						c.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					default:
						c.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
					}
				}
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			g.exchange(t, get("/first"))
			if res := g.exchange(t, get("/second")); res.Text != "good" {
				t.Errorf("body %q, want good", res.Text)
			}
			if n := up.Conns(); (n == 1) != tt.again {
				t.Errorf("%d connections, want the first used again: %t", n, tt.again)
			}
		})
	}
}

// TestSurplusClosesConnection checks that the connection is closed after a response with
// surplus bytes, with and without TLS, and that the next request arrives completely on
// another connection.
func TestSurplusClosesConnection(t *testing.T) {
	t.Parallel()
	response := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	// The service sends a body in its response to HEAD, long enough for several TLS records,
	// and responds to a POST with the body of the request.
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, response(strings.Repeat(response("evil"), 1000)))
		_, _ = io.Copy(io.Discard, c)
	})
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(service)
			roots := x509.NewCertPool()
			if scheme == "https" {
				srv.StartTLS()
				roots.AddCert(srv.Certificate())
			} else {
				srv.Start()
			}
			t.Cleanup(srv.Close)
			u, err := url.Parse(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			p := pools.New(pools.Options{Addresses: []*url.URL{u}, MaxInFlight: 100, Now: time.Now})
			g := newGateway(t, options{route: netHTTP, pool: p, roots: roots})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { wantWhole(t, g.addr) })
			}
			all.Wait()
		})
	}
}

// wantWhole sends HEAD and POST requests alternately and checks the responses.
func wantWhole(t *testing.T, addr string) {
	t.Helper()
	c := rawhttp.Dial(t, addr)
	for i := range rounds(20) {
		for _, method := range []string{http.MethodHead, http.MethodPost} {
			text := strings.Repeat(fmt.Sprint(i, ","), 100)
			if method == http.MethodHead {
				c.Send(rawhttp.Lines("HEAD / HTTP/1.1", "Host: a", ""))
			} else if i%2 == 0 {
				c.Send(rawhttp.Lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "") + chunks(text, ""))
			} else {
				c.Send(rawhttp.Lines("POST / HTTP/1.1", "Host: a", "Content-Length: "+strconv.Itoa(len(text)), "") + text)
			}
			res, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(res.Body)
			if method == http.MethodPost && (string(body) != text || res.StatusCode != http.StatusOK) || err != nil {
				t.Errorf("%s: %d %.40q, %v", method, res.StatusCode, body, err)
				return
			}
		}
	}
}

// TestKeptConnections checks that the transport reuses its connections if no bytes follow
// the responses. Session tickets of TLS 1.3 do not prevent reuse.
func TestKeptConnections(t *testing.T) {
	var mu sync.Mutex
	var peers []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		peers = append(peers, r.RemoteAddr)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(srv.Close)
	p, roots := securePool(t, srv)
	g := newGateway(t, options{route: netHTTP, pool: p, roots: roots})
	for range 5 {
		if res := g.exchange(t, post([]string{"Content-Length: 3"}, "abc")); res.Text != "abc" {
			t.Errorf("body %q, want abc", res.Text)
		}
		<-g.results
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(peers); len(slices.Compact(peers)) != 1 {
		t.Errorf("connections %q, want one", peers)
	}
}
