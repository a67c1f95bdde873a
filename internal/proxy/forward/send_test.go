package forward_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// failures is the number of consecutive failures after which an address is down.
const failures = 5

// TestNextAddress checks that a request goes to the next address if the first one refuses
// connections. The next address receives it once and completely, with its own Host.
func TestNextAddress(t *testing.T) {
	large := strings.Repeat("x", long)
	tests := []struct{ name, request, body string }{
		{"without a body", get("/"), ""},
		{"small body", post([]string{"Content-Length: 3"}, "abc"), "abc"},
		{"large body", post([]string{declaredLong}, large), large},
		{"chunked body", post([]string{"Transfer-Encoding: chunked"}, chunks("abc", "")), "abc"},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			got := make(chan string, 10)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				for {
					r, err := http.ReadRequest(c.Reader)
					if err != nil {
						return
					}
					body := make([]byte, long+1)
					n := 0
					for err == nil {
						var m int
						m, err = r.Body.Read(body[n:])
						n += m
					}
					got <- r.Host + " " + string(body[:n])
					c.Send(rawhttp.Empty)
				}
			})
			g := newGateway(t, options{route: w, pool: pool(upstream.Refusing(t), up.Addr, upstream.Refusing(t)), maxBody: long})
			// With any starting address, each address is the first one once.
			for range 3 {
				if res := g.exchange(t, tt.request); res.StatusCode != http.StatusOK {
					t.Fatalf("status %d, want 200", res.StatusCode)
				}
				result := <-g.results
				if result.Upstream != up.Addr || result.BytesIn != int64(len(tt.body)) {
					t.Errorf("%d bytes to %q, want %d to %q", result.BytesIn, result.Upstream, len(tt.body), up.Addr)
				}
				if found := <-got; found != up.Addr+" "+tt.body {
					t.Errorf("the upstream got %.60q, want its host and %.60q", found, tt.body)
				}
			}
			if len(got) != 0 {
				t.Error("want each request once, found one more")
			}
		})
	}
}

// TestNoAddress checks that the reason is upstream_failed if no address can be reached.
func TestNoAddress(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			g := newGateway(t, options{route: w, pool: pool(upstream.Refusing(t), upstream.Refusing(t))})
			g.exchange(t, post([]string{"Content-Length: 3"}, "abc"))
			if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
				t.Errorf("reason %q, want upstream_failed", have)
			}
		})
	}
}

// TestSentToOneAddress checks that a request that an upstream may have received is not sent
// to another address, even if the upstream closes the connection without a response.
func TestSentToOneAddress(t *testing.T) {
	large := strings.Repeat("x", long)
	tests := []struct{ name, request string }{
		{"without a body", get("/")},
		{"small body", post([]string{"Content-Length: 3"}, "abc")},
		{"large body", post([]string{declaredLong}, large)},
		{"chunked body", post([]string{"Transfer-Encoding: chunked"}, chunks("abc", ""))},
		{"with a key", post([]string{"Content-Length: 3", "Idempotency-Key: 1"}, "abc")},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			deliveries := make(chan int, 10)
			silent := func(number int) string {
				return upstream.New(t, func(_ int, c *rawhttp.Conn) {
					if r, err := http.ReadRequest(c.Reader); err == nil {
						_, _ = r.Body.Read(make([]byte, 1))
						deliveries <- number
					}
				}).Addr
			}
			g := newGateway(t, options{route: w, pool: pool(silent(0), silent(1), silent(2)), maxBody: long})
			for i := range 3 {
				g.exchange(t, tt.request)
				if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
					t.Errorf("reason %q, want upstream_failed", have)
				}
				if found := <-deliveries; found != i || len(deliveries) != 0 {
					t.Errorf("address %d got it and %d more, want address %d only", found, len(deliveries), i)
				}
			}
		})
	}
}

// dying starts an upstream that responds to one request, and stops when it receives the
// next one on the same connection.
func dying(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		accepted, err := l.Accept()
		l.Close()
		if err != nil {
			return
		}
		defer accepted.Close()
		c := rawhttp.New(accepted)
		_, _ = c.Head()
		c.Send(rawhttp.Empty)
		_, _ = c.Head()
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// TestKeptConnectionDies checks requests whose kept connection is closed before the
// response. The upstream may have received such a request. A GET is sent again, to another
// address if its own is gone; a POST is not.
func TestKeptConnectionDies(t *testing.T) {
	tests := []struct {
		name, request string
		want          refusal.Reason
		elsewhere     int
	}{
		{"GET", get("/"), "", 1},
		{"POST", post([]string{"Content-Length: 0"}, ""), refusal.UpstreamFailed, 0},
		{"POST with a key", post([]string{"Content-Length: 0", "Idempotency-Key: 1"}, ""), refusal.UpstreamFailed, 0},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			up, got := recorder(t)
			g := newGateway(t, options{route: w, pool: pool(dying(t), up.Addr)})
			for range 2 { // one request for each address
				g.exchange(t, get("/"))
				<-g.results
			}
			<-got
			g.exchange(t, tt.request)
			if have := reason(t, <-g.results); have != tt.want {
				t.Errorf("reason %q, want %q", have, tt.want)
			}
			if len(got) != tt.elsewhere {
				t.Errorf("%d requests at the other address, want %d", len(got), tt.elsewhere)
			}
		})
	}
}

// TestBreaker checks that an address that does not respond receives no further requests,
// and that these are refused as overloaded because they were not sent.
func TestBreaker(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) { _, _ = c.Head() })
			g := newGateway(t, options{route: w, upstream: up.Addr})
			for range failures {
				g.exchange(t, get("/"))
				if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
					t.Errorf("reason %q, want upstream_failed", have)
				}
			}
			before := up.Conns()
			res := g.exchange(t, get("/"))
			if have := reason(t, <-g.results); have != refusal.Overloaded || res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("reason %q with status %d, want overloaded with 503", have, res.StatusCode)
			}
			if n := up.Conns() - before; n != 0 {
				t.Errorf("%d connections to the upstream, want none", n)
			}
		})
	}
}

// TestClientErrorsAreNotFailures checks that an address stays up after errors of clients.
func TestClientErrorsAreNotFailures(t *testing.T) {
	tests := []struct {
		name, request string
		want          refusal.Reason
	}{
		{"truncated", post([]string{"Content-Length: 10"}, "abc"), refusal.ClientClosed},
		{"truncated in a chunk", post([]string{"Transfer-Encoding: chunked"}, "a\r\nabc"), refusal.ClientClosed},
		{"exceeds the limit", post([]string{"Transfer-Encoding: chunked"}, chunks(strings.Repeat("x", maxBody+1))), refusal.BodyTooLarge},
		{"malformed chunk", post([]string{"Transfer-Encoding: chunked"}, "x\r\n"), refusal.RequestMalformed},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if r, err := http.ReadRequest(c.Reader); err == nil {
					for err == nil {
						_, err = r.Body.Read(make([]byte, 1<<10))
					}
				}
			})
			p := pool(up.Addr)
			g := newGateway(t, options{route: w, pool: p})
			for range 2 * failures {
				c := rawhttp.Dial(t, g.addr)
				c.Send(tt.request)
				c.CloseWrite()
				if have := reason(t, <-g.results); have != tt.want {
					t.Errorf("reason %q, want %q", have, tt.want)
				}
			}
			if !p.Up(0) {
				t.Error("want the address up, found it down")
			}
		})
	}
}

// blocked starts an upstream that reports each request on arrived, and responds when release
// is closed or receives a value.
func blocked(t *testing.T) (up *upstream.Server, arrived, release chan struct{}) {
	t.Helper()
	arrived, release = make(chan struct{}, 100), make(chan struct{})
	return upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for {
			if _, err := c.Head(); err != nil {
				return
			}
			arrived <- struct{}{}
			<-release
			c.Send(rawhttp.Empty)
		}
	}), arrived, release
}

// TestTooManyInFlight checks that a request above the limit of concurrent requests is
// refused before its body is requested with 100 Continue. Its connection stays open, and
// the other requests succeed.
func TestTooManyInFlight(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up, arrived, release := blocked(t)
			g := newGateway(t, options{route: w, pool: smallPool(2, up.Addr)})
			var served []*rawhttp.Conn
			for range 2 {
				c := rawhttp.Dial(t, g.addr)
				c.Send(get("/"))
				<-arrived
				served = append(served, c)
			}
			late := rawhttp.Dial(t, g.addr)
			late.Send(post([]string{"Content-Length: 3", "Expect: 100-continue"}, ""))
			if res := late.Response(t, http.MethodPost); res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d, want 503 and no 100 Continue", res.StatusCode)
			}
			refused := <-g.results
			if d := refusal.Of(refused.Err); d == nil || d.Reason != refusal.Overloaded || d.RetryAfter != time.Second || refused.BytesIn != 0 {
				t.Errorf("result %+v, want overloaded and no byte of the body", refused)
			}
			kept := rawhttp.Dial(t, g.addr)
			kept.Send(post([]string{"Content-Length: 3"}, "abc"))
			if res := kept.Response(t, http.MethodPost); res.StatusCode != http.StatusServiceUnavailable || res.Close {
				t.Errorf("status %d, close %t: want 503 and an open connection", res.StatusCode, res.Close)
			}
			close(release)
			for _, c := range append(served, kept) {
				if c == kept {
					c.Send(get("/"))
				}
				if res := c.Response(t, http.MethodGet); res.StatusCode != http.StatusOK {
					t.Errorf("status %d, want 200", res.StatusCode)
				}
			}
		})
	}
}

// TestClosedClientFreesSlot checks that a request no longer counts as in flight after its
// client has closed the connection, even if the upstream has not responded.
func TestClosedClientFreesSlot(t *testing.T) {
	t.Parallel()
	rounds := 2 * failures
	if testing.Short() {
		rounds = failures + 1 // the last one finds the address down if a closed client counts as a failure
	}
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			up, arrived, release := blocked(t)
			defer close(release)
			p := smallPool(1, up.Addr)
			g := newGateway(t, options{route: w, pool: p})
			for range rounds {
				c := rawhttp.Dial(t, g.addr)
				c.Send(get("/"))
				<-arrived
				if p.CheckCapacity("mail") == nil {
					t.Fatal("want the only slot taken")
				}
				c.Close()
				if have := reason(t, <-g.results); have != refusal.ClientClosed {
					t.Errorf("reason %q, want client_closed", have)
				}
				if d := p.CheckCapacity("mail"); d != nil {
					t.Fatalf("want a free slot, found %v", d)
				}
			}
		})
	}
}

// TestSlowBodyTakesNoSlot checks that a request with a small body counts as in flight only
// after the body has been received.
func TestSlowBodyTakesNoSlot(t *testing.T) {
	up, _ := recorder(t)
	g := newGateway(t, options{pool: smallPool(1, up.Addr)})
	slow := rawhttp.Dial(t, g.addr)
	slow.Send(post([]string{"Content-Length: 3", "Expect: 100-continue"}, ""))
	if line, err := slow.Reader.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("want 100 Continue, found %q and %v", line, err)
	}
	if res := g.exchange(t, get("/")); res.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", res.StatusCode)
	}
	_, _ = slow.Reader.ReadString('\n')
	slow.Send("abc")
	if res := slow.Response(t, http.MethodPost); res.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", res.StatusCode)
	}
}
