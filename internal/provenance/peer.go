package provenance

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// peer is the other end of a connection.
type peer struct {
	remote string     // as it was read
	addr   netip.Addr // the zero value when that has no IP address
	text   string     // addr, written
}

type contextKey struct{}

// Context is what http.Server.ConnContext wants: the address of a connection is
// read once then, and not again for each of its requests.
func Context(ctx context.Context, c net.Conn) context.Context {
	remote := c.RemoteAddr()
	if remote == nil {
		return ctx
	}
	p := peerOf(remote.String())
	return context.WithValue(ctx, contextKey{}, &p)
}

// peerOf reads an address with port.
func peerOf(remote string) peer {
	addr := peerAddr(remote)
	return peer{remote, addr, textOf(addr, remote)}
}

// knownPeer is peerOf(remote), from the context if that has it.
func knownPeer(ctx context.Context, remote string) peer {
	if p, ok := ctx.Value(contextKey{}).(*peer); ok && p.remote == remote {
		return *p
	}
	return peerOf(remote)
}

func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// textOf is addr.String(). An IPv4 address has one spelling only, so that is the
// beginning of what it was read from.
func textOf(addr netip.Addr, remote string) string {
	if host, _, ok := strings.Cut(remote, ":"); ok && addr.Is4() && host != "" && host[0] != '[' {
		return host
	}
	return addr.String()
}
