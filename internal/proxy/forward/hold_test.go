package forward_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

const (
	fastPath serving = "fast"
	bare     serving = "bare"
)

// TestHold checks that the upstream receives the held body with its length, whether the
// request was chunked or not.
func TestHold(t *testing.T) {
	t.Parallel()
	const large = 300 << 10
	full := strings.Repeat("0123456789abcdef", large/16)
	declared := func(n int) string { return "Content-Length: " + strconv.Itoa(n) }
	const chunked = "Transfer-Encoding: chunked"
	tests := []struct{ name, framing, sent, want string }{
		{"empty", declared(0), "", ""},
		{"declared", declared(5), "12345", "12345"},
		{"declared, longer than one buffer", declared(64<<10 + 1), full[:64<<10+1], full[:64<<10+1]},
		{"declared, at the limit", declared(large), full, full},
		{"chunked", chunked, chunks("123", "45") + "0\r\n\r\n", "12345"},
		{"chunked and empty", chunked, "0\r\n\r\n", ""},
		{"chunked, as long as one buffer", chunked, chunks(full[:64<<10]) + "0\r\n\r\n", full[:64<<10]},
		{"chunked, at the limit", chunked, chunks(full[:100_000], full[100_000:]) + "0\r\n\r\n", full},
		{"chunked with extensions", chunked, "3;a=b\r\n123\r\n0;c\r\n\r\n", "123"},
		{"chunked with a trailer", "Trailer: X-Client-Id, X-A\r\n" + chunked, chunks("123") + "0\r\nX-Client-Id: root\r\nX-A: b\r\n\r\n", "123"},
	}
	up, requests, bodies := wholeRequests(t)
	for w, tt := range everyRoute(tests) {
		t.Run(w[0]+" "+w[1]+" "+tt.name, func(t *testing.T) {
			g := newHolding(t, holdOptions{serving: serving(w[0]), options: options{route: route(w[1]), upstream: up.Addr, maxBody: large}})
			res := g.exchange(t, post([]string{tt.framing, "Content-Digest: c", "signature: s", "Signature_Input: i"}, tt.sent))
			if res.StatusCode != http.StatusOK || res.Close {
				t.Fatalf("status %d, close %t: want 200 and the connection open", res.StatusCode, res.Close)
			}
			held := <-g.held
			if held.err != nil || held.body != tt.want || held.length != int64(len(tt.want)) {
				t.Errorf("held %d bytes of %d, %v; want %d", len(held.body), held.length, held.err, len(tt.want))
			}
			r, body := <-requests, <-bodies
			if body != tt.want || r.ContentLength != int64(len(tt.want)) || len(r.Trailer) > 0 || r.Header.Get("X-A") != "" {
				t.Errorf("the upstream got %d bytes, length %d, trailer %v: want %d bytes and no trailer", len(body), r.ContentLength, r.Trailer, len(tt.want))
			}
			if h := r.Header; h.Get("Content-Digest") != "c" || h["Signature"] != nil || h["Signature_input"] != nil {
				t.Errorf("the upstream got %v: want the digest and no signature that was read", h)
			}
			if result := <-g.results; result.BytesIn != int64(len(tt.want)) || result.Err != nil {
				t.Errorf("result %+v, want %d bytes in and no error", result, len(tt.want))
			}
		})
	}
}

// TestHoldRefuses checks that the client receives the refusal immediately and that its
// connection is then closed. The upstream receives nothing, even if the handler forwards
// the request.
func TestHoldRefuses(t *testing.T) {
	t.Parallel()
	const chunked = "Transfer-Encoding: chunked"
	over := strings.Repeat("x", maxBody+1)
	tests := []struct {
		name, framing, sent string
		end                 bool // the client closes its side after sending
		want                refusal.Reason
	}{
		{"declared too large", "Content-Length: " + strconv.Itoa(maxBody+1), "", false, refusal.BodyTooLarge},
		{"exceeds the limit", chunked, chunks(over), false, refusal.BodyTooLarge},
		{"exceeds the limit in the last chunk", chunked, chunks(over[1:], "x") + "0\r\n\r\n", false, refusal.BodyTooLarge},
		{"stalls", "Content-Length: 10", "123", false, refusal.RequestTimeout},
		{"stalls before the first byte", "Content-Length: 10", "", false, refusal.RequestTimeout},
		{"stalls in a chunk", chunked, "5\r\n123", false, refusal.RequestTimeout},
		{"truncated", "Content-Length: 10", "123", true, refusal.ClientClosed},
		{"truncated between chunks", chunked, chunks("123"), true, refusal.ClientClosed},
		{"malformed chunk", chunked, chunks("123") + "nonsense\r\n", false, refusal.RequestMalformed},
	}
	up, _ := recorder(t)
	t.Cleanup(func() {
		if n := up.Conns(); n != 0 {
			t.Errorf("the upstream got %d connections, want none", n)
		}
	})
	for w, tt := range everyRoute(tests) {
		t.Run(w[0]+" "+w[1]+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			o := options{route: route(w[1]), upstream: up.Addr, readTimeout: time.Minute}
			if tt.want == refusal.RequestTimeout {
				waitForTimeout(t)
				o.readTimeout = soon
			}
			g := newHolding(t, holdOptions{serving: serving(w[0]), options: o})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{tt.framing}, tt.sent))
			if tt.end {
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			res := c.Response(t, http.MethodPost)
			if res.StatusCode != tt.want.Status() || !res.Close {
				t.Errorf("status %d, close %t: want %d and close", res.StatusCode, res.Close, tt.want.Status())
			}
			if tt.want != refusal.BodyTooLarge || tt.framing == chunked { // a part of the body was read
				c.WantClosed(t)
			}
			if held := <-g.held; held.body != "" || refusal.Of(held.err) == nil || refusal.Of(held.err).Reason != tt.want {
				t.Errorf("held %q, %v; want nothing and %s", held.body, held.err, tt.want)
			}
			if have := reason(t, <-g.results); have != tt.want {
				t.Errorf("forwarding ends with %q, want %q", have, tt.want)
			}
		})
	}
}

// TestHoldWithoutCapacity checks that no byte of a body is read if the upstream has no free
// capacity for the request.
func TestHoldWithoutCapacity(t *testing.T) {
	hung := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		hung <- struct{}{}
		<-hung
		c.Send(rawhttp.Empty)
	})
	g := newHolding(t, holdOptions{options: options{pool: smallPool(1, up.Addr)}})
	first := rawhttp.Dial(t, g.addr)
	first.Send(get("/"))
	<-hung
	res := g.exchange(t, post([]string{"Content-Length: 3"}, "abc"))
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", res.StatusCode)
	}
	<-g.held
	if held := <-g.held; refusal.Of(held.err) == nil || refusal.Of(held.err).Reason != refusal.Overloaded || held.length != 3 {
		t.Errorf("held %q of %d, %v; want %s and the request unchanged", held.body, held.length, held.err, refusal.Overloaded)
	}
	hung <- struct{}{}
	first.Response(t, http.MethodGet)
}

// TestHoldLeavesLargeBodies checks that a body that is too large to be held can still be
// forwarded completely, for requests whose body does not have to be verified.
func TestHoldLeavesLargeBodies(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test sends tens of megabytes")
	}
	const most = 64 << 20
	piece := strings.Repeat("x", 1<<20)
	for _, framing := range []string{"Content-Length: " + strconv.Itoa(most+1), "Transfer-Encoding: chunked"} {
		t.Run(framing, func(t *testing.T) {
			up, requests, bodies := wholeRequests(t)
			g := newHolding(t, holdOptions{options: options{upstream: up.Addr, maxBody: most + 1}})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{framing}, ""))
			for range most / len(piece) {
				c.Send(framed(framing, piece))
			}
			c.Send(framed(framing, "x"))
			if framing == "Transfer-Encoding: chunked" {
				c.Send("0\r\n\r\n")
			}
			held := <-g.held
			if refused := refusal.Of(held.err); refused == nil || refused.Reason != refusal.BodyTooLarge || held.body != "" {
				t.Fatalf("held %d bytes, %v; want %s", len(held.body), held.err, refusal.BodyTooLarge)
			}
			if r, body := <-requests, <-bodies; r.ContentLength != held.length || len(body) != most+1 || strings.Trim(body, "x") != "" {
				t.Errorf("the upstream got %d bytes, want %d", len(body), most+1)
			}
			if res := c.Response(t, http.MethodPost); res.StatusCode != http.StatusOK {
				t.Errorf("status %d, want 200", res.StatusCode)
			}
		})
	}
}

// framed returns a part of a body in the given framing.
func framed(framing, piece string) string {
	if framing == "Transfer-Encoding: chunked" {
		return chunks(piece)
	}
	return piece
}

// TestHeldTogether checks that all bodies share one budget, that a body above it is refused
// with a Retry-After, and that released bytes can be used again. A body that does not fit
// can still be forwarded completely.
func TestHeldTogether(t *testing.T) {
	const size, first = 100 << 10, 64 << 10 // first is the size of the first reservation
	enter, leave := make(chan struct{}), make(chan struct{})
	up, _, bodies := wholeRequests(t)
	g := newHolding(t, holdOptions{
		options: options{upstream: up.Addr, maxBody: size},
		between: func(r *http.Request, _ *body.Body) {
			if r.Header.Get("X-Wait") != "" {
				enter <- struct{}{}
				<-leave
			}
		},
	})
	leaves := sync.OnceFunc(func() { close(leave) })
	t.Cleanup(leaves)
	text := strings.Repeat("0123456789", size/10)
	send := func(headers ...string) *rawhttp.Conn {
		c := rawhttp.Dial(t, g.addr)
		c.Send(post(append(headers, "Content-Length: "+strconv.Itoa(size)), text))
		return c
	}
	overloaded := func(c *rawhttp.Conn, whenRead bool) {
		t.Helper()
		res := c.Response(t, http.MethodPost)
		held := <-g.held
		refused := refusal.Of(held.err)
		if refused == nil || refused.Reason != refusal.Overloaded || refused.RetryAfter <= 0 || res.Close != whenRead || held.length != size {
			t.Fatalf("status %d, close %t, %v; want %s with a Retry-After", res.StatusCode, res.Close, held.err, refusal.Overloaded)
		}
		if got := <-bodies; got != text || res.StatusCode != http.StatusOK {
			t.Errorf("status %d, and the upstream got %d bytes of the body that was not held, want %d", res.StatusCode, len(got), size)
		}
	}
	g.forwarder.Budget().SetLimit(first + size + first)
	wait := send("X-As: mail", "X-Wait: 1")
	<-enter
	<-g.held
	if n := g.forwarder.Budget().Used(); n != size {
		t.Errorf("%d bytes held, want %d", n, size)
	}
	overloaded(send("X-As: social"), true) // the budget suffices for the first part only
	g.forwarder.Budget().SetLimit(size + first - 1)
	overloaded(send("X-As: social"), false) // the budget is used up, so nothing was read

	// A client may use at most as many bytes as are free.
	g.forwarder.Budget().SetLimit(size + first + size + first)
	overloaded(send("X-As: mail"), true)
	if res := send("X-As: social").Response(t, http.MethodPost); res.StatusCode != http.StatusOK || (<-g.held).err != nil {
		t.Errorf("status %d for another client, want 200 and its body held", res.StatusCode)
	}
	<-bodies

	g.forwarder.Budget().SetLimit(first + size + first)
	leaves()
	if res := wait.Response(t, http.MethodPost); res.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", res.StatusCode)
	}
	<-bodies
	if res := send("X-As: mail").Response(t, http.MethodPost); res.StatusCode != http.StatusOK || (<-g.held).err != nil {
		t.Errorf("status %d after the release, want 200", res.StatusCode)
	}
	<-bodies
}

// TestHeldTwice checks that holding a body twice returns the same bytes, and that the
// budget is charged once and released once.
func TestHeldTwice(t *testing.T) {
	up, _, bodies := wholeRequests(t)
	var g holding
	g = newHolding(t, holdOptions{options: options{upstream: up.Addr}, between: func(_ *http.Request, b *body.Body) {
		content, err := b.Hold("mail")
		if string(content) != "abc" || err != nil || g.forwarder.Budget().Used() != 3 {
			t.Errorf("held %q, %v, %d bytes; want the same as before", content, err, g.forwarder.Budget().Used())
		}
		b.Release()
		b.Release()
		if n := g.forwarder.Budget().Used(); n != 0 {
			t.Errorf("%d bytes held after the release, want none", n)
		}
	}})
	if res := g.exchange(t, post([]string{"Content-Length: 3"}, "abc")); res.StatusCode != http.StatusOK || <-bodies != "abc" {
		t.Errorf("status %d, want 200 and the body at the upstream", res.StatusCode)
	}
}

// TestEarlyResponseToHeldBody checks that the client's connection stays open when the
// upstream responds before it has read a held body, because the gateway has already read
// the whole body from that connection.
func TestEarlyResponseToHeldBody(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test sends tens of megabytes")
	}
	const huge = 32 << 20 // more than the socket buffers hold
	body := strings.Repeat("x", huge)
	for _, by := range []serving{fastPath, bare} {
		t.Run(string(by), func(t *testing.T) {
			done := make(chan struct{})
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _ = c.Head()
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
				<-done
			})
			t.Cleanup(func() { close(done) })
			g := newHolding(t, holdOptions{serving: by, options: options{upstream: up.Addr, maxBody: huge}})
			c := rawhttp.Dial(t, g.addr)
			for range 2 {
				c.Send(post([]string{"Content-Length: " + strconv.Itoa(huge)}, body))
				if res := c.Response(t, http.MethodPost); res.StatusCode != http.StatusOK || res.Text != "early" || res.Close {
					t.Fatalf("response %d %q, close %t: want 200, early, and the connection open", res.StatusCode, res.Text, res.Close)
				}
				if result := <-g.results; result.Err != nil {
					t.Errorf("result %+v, want no error", result)
				}
			}
		})
	}
}
