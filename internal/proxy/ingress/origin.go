package ingress

import (
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
	"github.com/certgate/certgate/internal/core/tracecontext"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// Origin describes where a request came from.
type Origin struct {
	// Peer is the other end of the connection, or the zero value if it has no IP address.
	Peer netip.Addr
	// Source is the nearest address that is not a trusted proxy.
	Source     netip.Addr
	SourceText string // Source as text; empty for the zero value
	// Caller is the span that the request's traceparent names. The client has chosen it.
	Caller tracecontext.Parent
	// Metadata contains what the gateway adds to the request. Its Auth is [gate.Bearer] until
	// the gate has decided.
	Metadata forward.Metadata
}

// unknown replaces the address of a peer without an IP address in X-Forwarded-For, such as
// the other end of a Unix socket (RFC 7239, section 6.2).
const unknown = "unknown"

// Origin sets from, the zero value, to the origin of a request. remote is the peer's address
// with port, and host is the request's host. If the peer is a trusted proxy, its forwarding
// headers in h replace them, except a value that is malformed or sent twice. With
// PublicAuthorities the host in the result is always one of them. The context is the
// request's: see [ConnContext]. The names in h must be canonical.
func (r *Reader) Origin(ctx context.Context, from *Origin, h http.Header, remote, host string) {
	p := knownPeer(ctx, remote)
	from.Peer, from.Source, from.SourceText = p.addr, p.addr, p.text
	from.Caller = tracecontext.Parse(h[headers.Traceparent])
	from.Metadata.Auth, from.Metadata.For, from.Metadata.Proto, from.Metadata.Host = gate.Bearer, p.text, "http", host
	if p.text == "" {
		from.Metadata.For = unknown
	}
	if r.Trusts(p.addr) {
		from.applyForwarded(h, r.TrustedProxies)
	}
	if len(r.PublicAuthorities) > 0 {
		from.Metadata.Host = httpsig.ChooseAuthority(r.PublicAuthorities, from.Metadata.Host)
	}
	if from.Metadata.RequestID == "" {
		from.Metadata.RequestID = NewRequestID()
	}
}

// applyForwarded applies the forwarding headers of a trusted proxy.
func (o *Origin) applyForwarded(h http.Header, trusted []netip.Prefix) {
	if list := strings.Join(h[headers.ForwardedFor], ", "); list != "" {
		o.Source = nearestUntrusted(list, o.Peer, trusted)
		o.SourceText = o.Source.String()
		o.Metadata.For = list + ", " + o.Metadata.For
	}
	if proto := single(h, headers.ForwardedProto); proto == "https" || proto == "http" {
		o.Metadata.Proto = proto
	}
	if host := single(h, headers.ForwardedHost); host != "" && !strings.ContainsAny(host, ", ") {
		o.Metadata.Host = host
	}
	if id := single(h, headers.RequestID); wellFormedID(id) {
		o.Metadata.RequestID = id
	}
}

// nearestUntrusted returns the last address of the list that is not a trusted proxy. Trusted
// proxies append to the list, so the addresses to the left of the result may be invented by
// the client.
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

// Contains reports whether one of the networks contains the address. An IPv4 address mapped
// to IPv6 counts as IPv4. No network contains the zero value.
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

// wellFormedID reports whether a request id of a trusted proxy can be used in logs, headers
// and responses without escaping.
func wellFormedID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.:=+/", c))
	})
}

// NewRequestID returns 128 random bits as 32 hex digits. It identifies a request and grants
// nothing, so it need not be unpredictable.
func NewRequestID() string {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], rand.Uint64()) //nolint:gosec // not a secret
	binary.NativeEndian.PutUint64(bits[8:], rand.Uint64()) //nolint:gosec // not a secret
	var text [2 * len(bits)]byte
	hex.Encode(text[:], bits[:])
	return string(text[:])
}
