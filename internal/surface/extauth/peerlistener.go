package extauth

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/ingress"
)

// Admits reports whether remote is the address of a peer, that is, whether one of the
// networks contains it.
func Admits(peers []netip.Prefix, remote net.Addr) bool {
	if remote == nil {
		return false
	}
	addr, err := netip.ParseAddrPort(remote.String())
	return err == nil && ingress.Contains(peers, addr.Addr().Unmap().WithZone(""))
}

// peerListener accepts connections from peers only, up to a limit of open connections.
// It closes and records all other connections before it reads or writes a byte.
type peerListener struct {
	net.Listener

	options *Options
	limit   int64
	open    *atomic.Int64
}

// Accept waits for the next connection from a peer.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		refused := l.admit(c.RemoteAddr())
		if refused == nil {
			return &countedConn{Conn: c, release: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.record(c.RemoteAddr(), refused)
		_ = c.Close() // no data is buffered
	}
}

func (l *peerListener) admit(remote net.Addr) *refusal.Error {
	if !Admits(l.options.Peers, remote) {
		return refusal.New(refusal.PeerUntrusted, "the connection is not from AUTHZ_PEERS")
	}
	if l.open.Add(1) > l.limit {
		l.open.Add(-1)
		return refusal.New(refusal.Overloaded, "want at most %d connections, found one more", l.limit)
	}
	return nil
}

func (l *peerListener) record(remote net.Addr, d *refusal.Error) {
	source := ""
	if addr, err := netip.ParseAddrPort(fmt.Sprint(remote)); err == nil {
		source = addr.Addr().Unmap().String()
	}
	l.options.Recorder.Record(&audit.Record{
		Time: time.Now(), Surface: audit.ExtAuthz, RequestID: ingress.NewRequestID(), Source: source,
		Decision: audit.Refused, Reason: d.Reason, Detail: d.Detail, Status: d.Reason.Status(),
	})
}

// countedConn is an accepted connection. It counts towards the limit until it is closed.
type countedConn struct {
	net.Conn

	release func()
}

// Close closes the connection. Only the first call releases its place.
func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
