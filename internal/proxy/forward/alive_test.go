package forward_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestAnyByteIsAlive checks that an address that sends any byte stays up, even if the
// response is invalid, and that an address that sends no byte is marked down.
func TestAnyByteIsAlive(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, response string
		stalls         bool // the connection stays open after the response
		want           refusal.Reason
		up             bool
	}{
		{"malformed", "HTTP/1.1 abc\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"too large", ok + "X-Large: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"two lengths", ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false, refusal.UpstreamFailed, true},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"informational only", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), false, refusal.UpstreamFailed, true},
		{"one byte, then closed", "H", false, refusal.UpstreamFailed, true},
		{"half a header, then no more bytes", ok, true, refusal.UpstreamTimeout, true},
		{"closed without a byte", "", false, refusal.UpstreamFailed, false},
		{"open without a byte", "", true, refusal.UpstreamTimeout, false},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.stalls {
				waitForTimeout(t)
			}
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if _, err := c.Head(); err != nil {
					return
				}
				c.Send(tt.response)
				if tt.stalls {
					c.Rest()
				}
			})
			o := options{route: w, pool: pool(up.Addr)}
			if tt.stalls {
				o.timeout = soon
			}
			g := newGateway(t, o)
			var all sync.WaitGroup
			for range failures {
				all.Go(func() { g.exchange(t, get("/")) })
			}
			all.Wait()
			for range failures {
				if have := reason(t, <-g.results); have != tt.want {
					t.Errorf("reason %q, want %q", have, tt.want)
				}
			}
			if up := o.pool.Up(0); up != tt.up {
				t.Errorf("up %t, want %t", up, tt.up)
			}
		})
	}
}

// TestResetIsFailure checks that a connection that is reset before the first byte of a
// response counts as a failure.
func TestResetIsFailure(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if _, err := c.Head(); err == nil {
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
			})
			p := pool(up.Addr)
			g := newGateway(t, options{route: w, pool: p})
			for range failures {
				g.exchange(t, get("/"))
				if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
					t.Errorf("reason %q, want upstream_failed", have)
				}
			}
			if p.Up(0) {
				t.Error("want the address down, found it up")
			}
		})
	}
}
