package forward

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/certgate/certgate/internal/proxy/body"
)

// MaxSmall is the length of the longest body that net/http's transport sends with the header.
const MaxSmall = maxSmall

// UseTransport makes f send all requests with net/http's transport.
func (f *Forwarder) UseTransport() { f.clients = nil }

// CountWrites returns the number of writes to connections that net/http's transport opens from
// now on.
func (f *Forwarder) CountWrites() *atomic.Int64 {
	n := new(atomic.Int64)
	for _, t := range f.transports {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := dial(ctx, network, addr)
			if c, ok := nc.(*conn); ok {
				c.Conn = countingConn{c.Conn, n}
			}
			return nc, err
		}
	}
	return n
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Budget returns the budget of held bodies.
func (f *Forwarder) Budget() *body.Budget { return f.bodies.Budget }
