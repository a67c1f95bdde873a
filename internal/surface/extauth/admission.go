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

// Admits reports whether a connection from this address may ask: the address is in
// one of the networks.
func Admits(peers []netip.Prefix, remote net.Addr) bool {
	if remote == nil {
		return false
	}
	addr, err := netip.ParseAddrPort(remote.String())
	return err == nil && ingress.Contains(peers, addr.Addr().Unmap().WithZone(""))
}

// admission accepts connections of peers only, and at most a number of them at a
// time. It closes all others before a byte is read or written, and records them.
type admission struct {
	net.Listener

	options *Options
	most    int64
	open    atomic.Int64
}

// Accept waits for the next connection of a peer.
func (a *admission) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		refused := a.admit(c.RemoteAddr())
		if refused == nil {
			return &admitted{Conn: c, leave: sync.OnceFunc(func() { a.open.Add(-1) })}, nil
		}
		a.record(c.RemoteAddr(), refused)
		_ = c.Close() // nothing is left to be written
	}
}

func (a *admission) admit(remote net.Addr) *refusal.Error {
	if !Admits(a.options.Peers, remote) {
		return refusal.New(refusal.PeerUntrusted, "a connection that is not from AUTHZ_PEERS")
	}
	if a.open.Add(1) > a.most {
		a.open.Add(-1)
		return refusal.New(refusal.Overloaded, "a connection too many: %d are open", a.most)
	}
	return nil
}

func (a *admission) record(remote net.Addr, d *refusal.Error) {
	source := ""
	if addr, err := netip.ParseAddrPort(fmt.Sprint(remote)); err == nil {
		source = addr.Addr().Unmap().String()
	}
	a.options.Recorder.Record(&audit.Record{
		Time: time.Now(), Surface: audit.ExtAuthz, RequestID: ingress.NewRequestID(), Source: source,
		Decision: audit.Refused, Reason: d.Reason, Detail: d.Detail, Status: d.Reason.Status(),
	})
}

// admitted is a connection that counts until it is closed.
type admitted struct {
	net.Conn

	leave func()
}

// Close closes the connection; it may be called again.
func (c *admitted) Close() error {
	c.leave()
	return c.Conn.Close()
}
