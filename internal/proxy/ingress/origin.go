package ingress

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// Origin is where a request came from, as far as it is known.
type Origin struct {
	// Peer is the other end of the connection; the zero value when that has no IP
	// address.
	Peer netip.Addr
	// Source is the nearest address that is no trusted proxy.
	Source     netip.Addr
	SourceText string // Source as text; empty for the zero value
	// Hop is what the gateway says about the request. Its Auth is
	// [gate.Bearer]: the gate knows better.
	Hop forward.Hop
}

// unknown stands in X-Forwarded-For for a peer without an IP address, such as the other
// end of a Unix socket (RFC 7239, section 6.2).
const unknown = "unknown"

// Origin reads what the peer says about the request if the peer is trusted, and
// only what the gateway saw itself if not: remote, the peer's address with port,
// and host, the host that the request asks for. The context is the request's: see
// [Context]. A forwarded value that a trusted proxy sends twice or in another form is
// not believed. With PublicAuthorities the host in the result is one of them, whatever
// the request and the proxy say. The names in h are canonical.
func (r *Reader) Origin(ctx context.Context, h http.Header, remote, host string) (from Origin) {
	p := knownPeer(ctx, remote)
	from.Peer, from.Source, from.SourceText = p.addr, p.addr, p.text
	from.Hop.Auth, from.Hop.For, from.Hop.Proto, from.Hop.Host = gate.Bearer, cmp.Or(p.text, unknown), "http", host
	if r.Trusts(p.addr) {
		from.believe(h, r.TrustedProxies)
	}
	if len(r.PublicAuthorities) > 0 {
		from.Hop.Host = httpsig.ChooseAuthority(r.PublicAuthorities, from.Hop.Host)
	}
	if from.Hop.RequestID == "" {
		from.Hop.RequestID = NewRequestID()
	}
	return from
}

func (o *Origin) believe(h http.Header, trusted []netip.Prefix) {
	if list := strings.Join(h[headers.ForwardedFor], ", "); list != "" {
		o.Source = nearestUntrusted(list, o.Peer, trusted)
		o.SourceText = o.Source.String()
		o.Hop.For = list + ", " + o.Hop.For
	}
	if proto := single(h, headers.ForwardedProto); proto == "https" || proto == "http" {
		o.Hop.Proto = proto
	}
	if host := single(h, headers.ForwardedHost); host != "" && !strings.ContainsAny(host, ", ") {
		o.Hop.Host = host
	}
	if id := single(h, headers.RequestID); wellFormedID(id) {
		o.Hop.RequestID = id
	}
}

// nearestUntrusted walks the list from the right, where trusted proxies wrote,
// to the first address that is not one of them. Left of that stands what the
// client wishes us to believe.
func nearestUntrusted(list string, peer netip.Addr, trusted []netip.Prefix) netip.Addr {
	addrs := strings.Split(list, ",")
	for _, text := range slices.Backward(addrs) {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return peer
		}
		peer = addr.Unmap()
		if !Contains(trusted, addr) {
			return peer
		}
	}
	return peer
}

// Contains reports whether one of the networks, of IPv4 or of IPv6, has the
// address, which may be an IPv4 address mapped to IPv6. No network has the zero
// value.
func Contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func single(h http.Header, name string) string {
	if v := h[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// wellFormedID keeps what goes into logs, answers and headers plain.
func wellFormedID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.:=+/", c))
	})
}

// NewRequestID is 128 random bits in 32 hex digits. It identifies, it authorizes
// nothing.
func NewRequestID() string {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], rand.Uint64()) //nolint:gosec // not a secret
	binary.NativeEndian.PutUint64(bits[8:], rand.Uint64()) //nolint:gosec // not a secret
	var text [2 * len(bits)]byte
	hex.Encode(text[:], bits[:])
	return string(text[:])
}
