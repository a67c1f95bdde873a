package forward_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestAnyByteIsAlive: an address that answers anything stays up, however bad the
// answer is. One that answers no byte goes out.
func TestAnyByteIsAlive(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, answer string
		stalls       bool // the connection stays open behind the answer
		want         refusal.Reason
		up           bool
	}{
		{"malformed", "HTTP/1.1 abc\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"too large", ok + "X-Large: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"two lengths", ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false, refusal.UpstreamFailed, true},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, refusal.UpstreamFailed, true},
		{"informational only", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), false, refusal.UpstreamFailed, true},
		{"one byte and the end", "H", false, refusal.UpstreamFailed, true},
		{"half a header and nothing more", ok, true, refusal.UpstreamTimeout, true},
		{"the end", "", false, refusal.UpstreamFailed, false},
		{"nothing", "", true, refusal.UpstreamTimeout, false},
	}
	for w, tt := range allWays(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, func(_ int, c *conn) {
				if _, err := c.head(); err != nil {
					return
				}
				c.say(tt.answer)
				if tt.stalls {
					c.rest()
				}
			})
			p := pool(up.addr)
			g := newGateway(t, options{way: w, pool: p, timeout: soon})
			var all sync.WaitGroup
			for range failures {
				all.Go(func() { g.ask(t, get("/")) })
			}
			all.Wait()
			for range failures {
				if have := reason(t, <-g.results); have != tt.want {
					t.Errorf("reason %q, want %q", have, tt.want)
				}
			}
			if p.Up(0) != tt.up {
				t.Errorf("up %t, want %t", p.Up(0), tt.up)
			}
		})
	}
}

// TestResetIsNoAnswer: a connection that is reset before a byte of an answer counts
// as a failure.
func TestResetIsNoAnswer(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			up := newUpstream(t, func(_ int, c *conn) {
				if _, err := c.head(); err == nil {
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
			})
			p := pool(up.addr)
			g := newGateway(t, options{way: w, pool: p})
			for range failures {
				g.ask(t, get("/"))
				if have := reason(t, <-g.results); have != refusal.UpstreamFailed {
					t.Errorf("reason %q, want upstream_failed", have)
				}
			}
			if p.Up(0) {
				t.Error("the address is up, want it out")
			}
		})
	}
}
