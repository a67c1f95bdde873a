package ingress

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// peer is the other end of a connection.
type peer struct {
	remote string     // as net/http reports it
	addr   netip.Addr // the zero value when the peer has no IP address
	text   string     // addr as text; empty for the zero value
}

type contextKey struct{}

// ConnContext is a function for http.Server.ConnContext. It stores the parsed address of the
// connection, so that it is not parsed again for each request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	remote := c.RemoteAddr()
	if remote == nil {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, peerOf(remote.String()))
}

// peerOf parses an address with port.
func peerOf(remote string) *peer {
	addr := peerAddr(remote)
	return &peer{remote, addr, textOf(addr, remote)}
}

// knownPeer returns peerOf(remote), from the context if it is stored there.
func knownPeer(ctx context.Context, remote string) *peer {
	if p, ok := ctx.Value(contextKey{}).(*peer); ok && p.remote == remote {
		return p
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

// textOf returns the text of an address, and the empty string for the zero value,
// whose String method returns "invalid IP". An IPv4 address has only one spelling, so
// its text is the beginning of remote, from which it was parsed.
func textOf(addr netip.Addr, remote string) string {
	if !addr.IsValid() {
		return ""
	}
	if host, _, ok := strings.Cut(remote, ":"); ok && addr.Is4() && host != "" && host[0] != '[' {
		return host
	}
	return addr.String()
}
