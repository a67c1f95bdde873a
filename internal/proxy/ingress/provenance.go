// Package ingress tells where a request came from and which of its
// certificate headers counts.
//
// A header says what its sender wishes to be believed. A [Reader] believes what
// trusted proxies say about a request, and of everybody else only the address
// that the connection has. Every surface asks the same one, so what a proxy's
// word is worth does not depend on the way in.
package ingress

import (
	"net/http"
	"net/netip"
)

// Options are whom and what a [Reader] believes.
type Options struct {
	// CredentialHeader is where clients attach the certificate.
	CredentialHeader string
	// ProxyHeader is where a trusted proxy attaches the certificate of the
	// client's TLS handshake; empty: nowhere.
	ProxyHeader string
	// PublicAuthorities are the hosts by which clients know the service, in the form
	// of [httpsig.NormalizeHost]; empty: not configured, and the host is the one that the
	// request or a trusted proxy names.
	PublicAuthorities []string
	// TrustedProxies are the peers whose X-Forwarded-*, X-Request-Id and
	// ProxyHeader are believed; nobody's when empty.
	TrustedProxies []netip.Prefix
}

// Reader is immutable and safe for concurrent use. [New] makes one.
type Reader struct {
	Options

	credential string // canonical name of the credential header
	proxy      string // canonical name of the proxy's, or empty
}

// New makes a reader.
func New(o Options) *Reader {
	return &Reader{Options: o, credential: http.CanonicalHeaderKey(o.CredentialHeader), proxy: http.CanonicalHeaderKey(o.ProxyHeader)}
}

// Trusts reports whether the peer is a trusted proxy.
func (r *Reader) Trusts(peer netip.Addr) bool { return Contains(r.TrustedProxies, peer) }
