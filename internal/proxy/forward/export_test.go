package forward

import (
	"crypto/x509"

	"github.com/certgate/certgate/internal/proxy/body"
)

// UseTransport makes f send all requests with net/http's transport.
func (f *Forwarder) UseTransport() { f.clients = nil }

// TrustRoots makes f verify the certificates of upstreams with these roots.
func (f *Forwarder) TrustRoots(roots *x509.CertPool) {
	d := newDialer(f.transport.ResponseHeaderTimeout)
	d.tls.RootCAs = roots
	f.transport.DialTLSContext = d.secure
}

// Budget returns the budget of held bodies.
func (f *Forwarder) Budget() *body.Budget { return f.bodies.Budget }
