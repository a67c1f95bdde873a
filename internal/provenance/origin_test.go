package provenance

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestTextOfPeer(t *testing.T) {
	for _, remote := range []string{"192.0.2.7:1234", "[::ffff:192.0.2.7]:1", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "192.0.2.07:1", "@", "", ":80", "name:80"} {
		peer := peerAddr(remote)
		if have, want := textOf(peer, remote), peer.String(); have != want {
			t.Errorf("%q: %q, want %q", remote, have, want)
		}
	}
}

// from is a connection from this address.
type from struct {
	net.Conn

	addr string
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }

// TestPeerOfContext: a connection's address is read once, and believed only of a
// request that says that it came from there.
func TestPeerOfContext(t *testing.T) {
	const known = "192.0.2.7:1234"
	ctx := Context(t.Context(), from{addr: known})
	r := New(Options{})
	for _, remote := range []string{known, "192.0.2.7:1235", "192.0.2.8:1234", "[2001:db8::1]:80", "@", ""} {
		with, without := r.Origin(ctx, http.Header{}, remote, ""), r.Origin(t.Context(), http.Header{}, remote, "")
		if with.Peer != without.Peer || with.Source != without.Peer || with.SourceText != without.SourceText || with.Hop.For != without.Hop.For {
			t.Errorf("%q: from %s with the context, from %s without", remote, with.SourceText, without.SourceText)
		}
	}
}
