package httpapi

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/forward"
)

// provenance is where a request came from, as far as it is known.
type provenance struct {
	// peer is the other end of the connection.
	peer netip.Addr
	// source is the nearest address that is no trusted proxy.
	source     netip.Addr
	sourceText string // the same, written once
	hop        forward.Hop
}

// origin reads what the peer says about the request if the peer is trusted, and
// only what the gateway saw itself if not. A forwarded value that a trusted
// proxy sends twice or in another form is not believed.
func origin(r *http.Request, trusted []netip.Prefix) provenance {
	peer := peerAddr(r.RemoteAddr)
	text := textOf(peer, r.RemoteAddr)
	from := provenance{peer: peer, source: peer, sourceText: text, hop: forward.Hop{
		RequestID: "", Auth: "bearer", For: text, Proto: "http", Host: r.Host,
	}}
	if isTrusted(peer, trusted) {
		from.believe(r.Header, trusted)
	}
	if from.hop.RequestID == "" {
		from.hop.RequestID = newRequestID()
	}
	return from
}

func (p *provenance) believe(h http.Header, trusted []netip.Prefix) {
	if list := strings.Join(h["X-Forwarded-For"], ", "); list != "" {
		p.source = nearestUntrusted(list, p.peer, trusted)
		p.sourceText = p.source.String()
		p.hop.For = list + ", " + p.hop.For
	}
	if proto := single(h, "X-Forwarded-Proto"); proto == "https" || proto == "http" {
		p.hop.Proto = proto
	}
	if host := single(h, "X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, ", ") {
		p.hop.Host = host
	}
	if id := single(h, "X-Request-Id"); wellFormedID(id) {
		p.hop.RequestID = id
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
		if !isTrusted(addr, trusted) {
			return peer
		}
	}
	return peer
}

func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// textOf is peer.String(). An IPv4 address has one spelling only, so that is the
// beginning of what it was read from.
func textOf(peer netip.Addr, remote string) string {
	if host, _, ok := strings.Cut(remote, ":"); ok && peer.Is4() && host != "" && host[0] != '[' {
		return host
	}
	return peer.String()
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
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

// newRequestID is 126 random bits in 32 hex digits. It identifies, it authorizes
// nothing.
func newRequestID() string {
	var b [32]byte
	text := b[:0]
	for range 2 {
		n := rand.Uint64() //nolint:gosec // not a secret
		text = strconv.AppendUint(text, n|1<<63, 16)
	}
	return string(text)
}

// pathOf is the part of the request target that may be logged: queries can
// carry secrets.
func pathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}
