package forward_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	upstreams "github.com/certgate/certgate/internal/proxy/upstream"
)

// TestContentClosesTheConnection: a request with content whose method usually has none
// asks the service to close, and its connection serves no other request, even if the
// service keeps it.
func TestContentClosesTheConnection(t *testing.T) {
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
		{"none", "Content-Length: 0", "", false},
	}
	for w, tt := range allWays(tests) {
		for _, framing := range framings {
			t.Run(fmt.Sprintf("%s/%s/%s", w, tt.method, framing.name), func(t *testing.T) {
				got := make(chan *http.Request, 10)
				up := newUpstream(t, func(_ int, c *conn) {
					for {
						r, err := http.ReadRequest(c.r)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						got <- r
						c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				})
				g := newGateway(t, options{way: w, upstream: up.addr})
				request := lines(tt.method+" / HTTP/1.1", "Host: gateway", framing.lines, "") + framing.body
				if res := g.ask(t, request); res.StatusCode != http.StatusOK {
					t.Fatalf("status %d, want 200", res.StatusCode)
				}
				want := tt.close && framing.content
				if r := <-got; r.Close != want {
					t.Errorf("Connection %q, want it closed: %t", r.Header["Connection"], want)
				}
				g.ask(t, lines("POST / HTTP/1.1", "Host: gateway", framing.lines, "")+framing.body)
				if n := up.conns.Load(); (n == 2) != want {
					t.Errorf("%d connections, want another one: %t", n, want)
				}
			})
		}
	}
}

// TestAnnouncedBody: an answer that may have no body and announces one ends its
// connection, so that what it announced is not the answer to the next request.
func TestAnnouncedBody(t *testing.T) {
	tests := []struct {
		name, answer string
		again        bool
	}{
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"204 with length zero", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", false},
		{"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"304", "HTTP/1.1 304 Not Modified\r\n\r\n", true},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", false},
		{"304 with chunks", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	}
	for w, tt := range allWays(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			up := newUpstream(t, func(n int, c *conn) {
				for {
					head, err := c.head()
					switch {
					case err != nil:
						return
					case strings.HasPrefix(head, "GET /first "):
						c.say(tt.answer)
					case n == 1 && !tt.again:
						c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					default:
						c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
					}
				}
			})
			g := newGateway(t, options{way: w, upstream: up.addr})
			g.ask(t, get("/first"))
			if res := g.ask(t, get("/second")); res.body != "good" {
				t.Errorf("body %q, want good", res.body)
			}
			if n := up.conns.Load(); (n == 1) != tt.again {
				t.Errorf("%d connections, want the first used again: %t", n, tt.again)
			}
		})
	}
}

// TestSurplusTakesNothing: bytes behind an answer end the connection, in cleartext and
// in TLS, and the next request arrives whole on another one, its body included.
func TestSurplusTakesNothing(t *testing.T) {
	answer := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	// A service that sends a body in its answer to HEAD, long enough for several records
	// of TLS, and answers a POST with its body.
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
		_, _ = io.WriteString(c, answer(strings.Repeat(answer("evil"), 1000)))
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
			p := upstreams.New(upstreams.Options{Addresses: []*url.URL{u}, MaxInFlight: 100, Now: time.Now})
			g := newGateway(t, options{way: netHTTP, pool: p, roots: roots})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { wantWhole(t, g.addr) })
			}
			all.Wait()
		})
	}
}

// wantWhole asks for a header and then has a body sent back, again and again.
func wantWhole(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, addr)
	for i := range 20 {
		for _, method := range []string{http.MethodHead, http.MethodPost} {
			text := strings.Repeat(fmt.Sprint(i, ","), 100)
			if method == http.MethodHead {
				c.say(lines("HEAD / HTTP/1.1", "Host: a", ""))
			} else {
				c.say(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "") + chunks(text, ""))
			}
			res, err := http.ReadResponse(c.r, &http.Request{Method: method})
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

// TestKeptConnections: the transport's connections serve many requests where nothing
// comes behind the answers, tickets of TLS 1.3 included.
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
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	p := upstreams.New(upstreams.Options{Addresses: []*url.URL{u}, MaxInFlight: 100, Now: time.Now})
	g := newGateway(t, options{way: netHTTP, pool: p, roots: roots})
	for range 5 {
		if res := g.ask(t, post([]string{"Content-Length: 3"}, "abc")); res.body != "abc" {
			t.Errorf("body %q, want abc", res.body)
		}
		<-g.results
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(peers); len(slices.Compact(peers)) != 1 {
		t.Errorf("connections %q, want one", peers)
	}
}
