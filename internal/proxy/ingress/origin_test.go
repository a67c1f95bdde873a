package ingress

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestTextOfPeer(t *testing.T) {
	for _, remote := range []string{"192.0.2.7:1234", "[::ffff:192.0.2.7]:1", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "192.0.2.07:1", "@", "", ":80", "name:80"} {
		peer := peerAddr(remote)
		want := peer.String()
		if !peer.IsValid() {
			want = ""
		}
		if have := textOf(peer, remote); have != want {
			t.Errorf("%q: %q, want %q", remote, have, want)
		}
	}
}

// connFrom is a connection from the address addr.
type connFrom struct {
	net.Conn

	addr string
}

func (f connFrom) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr))
}

func (r *Reader) origin(ctx context.Context, h http.Header, remote, host string) (from Origin) {
	r.Origin(ctx, &from, h, remote, host)
	return from
}

// TestConnContext: the stored address is used only for a request with the same remote
// address.
func TestConnContext(t *testing.T) {
	const known = "192.0.2.7:1234"
	ctx := ConnContext(t.Context(), connFrom{addr: known})
	r := New(Options{})
	for _, remote := range []string{known, "192.0.2.7:1235", "192.0.2.8:1234", "[2001:db8::1]:80", "@", ""} {
		with, without := r.origin(ctx, http.Header{}, remote, ""), r.origin(t.Context(), http.Header{}, remote, "")
		if with.Peer != without.Peer || with.Source != without.Peer || with.SourceText != without.SourceText || with.Metadata.For != without.Metadata.For {
			t.Errorf("%q: from %s with the context, from %s without", remote, with.SourceText, without.SourceText)
		}
	}
}

// TestPeerWithoutAddress: X-Forwarded-For contains "unknown", and the log has no address.
func TestPeerWithoutAddress(t *testing.T) {
	r := New(Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for _, remote := range []string{"@", "", "/run/certgate.sock"} {
		have := r.origin(t.Context(), http.Header{"X-Forwarded-For": {"192.0.2.7"}}, remote, "")
		if have.Metadata.For != "unknown" || have.SourceText != "" || have.Source.IsValid() {
			t.Errorf("%q: %+v, want the address unknown", remote, have)
		}
	}
}

// TestPublicAuthority: the host is always one of the configured hosts, whatever the request
// and the proxy send.
func TestPublicAuthority(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	tests := []struct {
		name            string
		public          []string
		host, forwarded string
		want            string
	}{
		{"not configured", nil, "Evil.example:80", "", "Evil.example:80"},
		{"not configured, forwarded", nil, "gateway", "Evil.example", "Evil.example"},
		{"another host", []string{"a.example", "b.example:8443"}, "evil.example", "", "a.example"},
		{"another host, forwarded", []string{"a.example", "b.example:8443"}, "gateway", "evil.example", "a.example"},
		{"second host", []string{"a.example", "b.example:8443"}, "B.example:8443", "", "b.example:8443"},
		{"second host, forwarded", []string{"a.example", "b.example:8443"}, "gateway", "b.example:8443", "b.example:8443"},
		{"another port", []string{"a.example", "b.example:8443"}, "b.example", "", "a.example"},
		{"default port", []string{"a.example"}, "A.example:443", "", "a.example"},
		{"no host", []string{"a.example"}, "", "", "a.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := New(Options{PublicAuthorities: tt.public, TrustedProxies: loopback})
			h := http.Header{}
			if tt.forwarded != "" {
				h.Set("X-Forwarded-Host", tt.forwarded)
			}
			if have := r.origin(t.Context(), h, "127.0.0.1:1234", tt.host).Metadata.Host; have != tt.want {
				t.Errorf("host %q, want %q", have, tt.want)
			}
		})
	}
}
