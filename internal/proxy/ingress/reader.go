// Package ingress determines where a request came from and which of its certificate headers
// counts.
//
// Any client can write any header. A [Reader] therefore reads the headers that describe a
// request only on connections from trusted proxies. For all other peers it uses the address
// of the connection. Every surface uses the same Reader, so trust in a proxy does not depend
// on the listener.
package ingress

import (
	"net/http"
	"net/netip"
)

// Options configure a [Reader].
type Options struct {
	// CredentialHeader is the header in which clients attach the certificate.
	CredentialHeader string
	// ProxyHeader is the header in which a trusted proxy attaches the certificate of the
	// client's TLS handshake. If it is empty, no proxy header is read.
	ProxyHeader string
	// PublicAuthorities are the hosts under which clients reach the service, in the form of
	// [httpsig.NormalizeHost]. If it is empty, the host is the one in the request, or the
	// one that a trusted proxy reports.
	PublicAuthorities []string
	// TrustedProxies are the peers whose X-Forwarded-*, X-Request-Id and ProxyHeader are
	// read. If it is empty, no peer is trusted.
	TrustedProxies []netip.Prefix
}

// Reader reads the origin and the credential of requests. It is immutable and safe for
// concurrent use. [New] makes one.
type Reader struct {
	Options

	credential string // canonical name of the credential header
	proxy      string // canonical name of the proxy's header, or empty
}

// New returns a Reader.
func New(o Options) *Reader {
	return &Reader{Options: o, credential: http.CanonicalHeaderKey(o.CredentialHeader), proxy: http.CanonicalHeaderKey(o.ProxyHeader)}
}

// Trusts reports whether the peer is a trusted proxy.
func (r *Reader) Trusts(peer netip.Addr) bool { return Contains(r.TrustedProxies, peer) }
