// Package dialer opens the connections to the upstream: over TCP or a Unix socket, and with
// TLS to an https upstream.
//
// The certificates for TLS can be replaced while the gateway runs. A connection that was
// made with the previous ones reports that it is outdated.
package dialer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// maxTimeout is the maximum time for connecting, TLS handshake included.
const maxTimeout = 10 * time.Second

// Security contains the certificates with which the gateway and an https upstream
// authenticate each other. The zero value trusts the CAs of the system and has no client
// certificate.
type Security struct {
	// Roots are the CAs that may issue the upstream's certificate. If it is nil, the CAs of
	// the system are used.
	Roots *x509.CertPool
	// Certificate is the client certificate with its private key, or nil. It is sent to an
	// upstream that requests one, regardless of the issuers that the upstream lists, so that
	// the upstream refuses a wrong certificate with a reason.
	Certificate *tls.Certificate
	// ServerName is the name that the upstream's certificate must have and that is sent as
	// SNI. If it is empty, the host of the address is used.
	ServerName string
}

// Options configure a [Dialer]. Timeout is required.
type Options struct {
	// Timeout bounds connecting, TLS handshake included. The maximum is 10 s.
	Timeout time.Duration
	// Verified is called after each TLS handshake with the [upstream.Name] of the address
	// and the time at which the verified certificate chain expires. It is called by several
	// goroutines.
	Verified func(name string, notAfter time.Time)
}

// Dialer opens connections. It is safe for concurrent use.
type Dialer struct {
	net      net.Dialer
	verified func(name string, notAfter time.Time)
	security atomic.Pointer[Security]
}

// New returns a dialer with the security s.
func New(o Options, s Security) *Dialer {
	d := &Dialer{net: net.Dialer{Timeout: min(o.Timeout, maxTimeout)}, verified: o.Verified}
	if d.verified == nil {
		d.verified = func(string, time.Time) {}
	}
	d.security.Store(&s)
	return d
}

// Replace sets the security of new connections. All connections that were made or begun
// before are outdated afterwards.
func (d *Dialer) Replace(s Security) { d.security.Store(&s) }

// Dial opens a connection to an address. If the scheme is https, the connection is a
// [*Conn] whose handshake has succeeded. below, if it is not nil, wraps the connection below
// TLS.
func (d *Dialer) Dial(ctx context.Context, u *url.URL, below func(net.Conn) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.net.Timeout)
	defer cancel()
	network, address := upstream.Endpoint(u)
	nc, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	lower := nc
	if below != nil {
		if lower, err = below(nc); err != nil {
			_ = nc.Close()
			return nil, err
		}
	}
	if u.Scheme != "https" {
		return lower, nil
	}
	c, err := d.handshake(ctx, lower, u)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

func (d *Dialer) handshake(ctx context.Context, lower net.Conn, u *url.URL) (*Conn, error) {
	c := &Conn{dialer: d, security: d.security.Load()}
	config := c.config(u.Hostname())
	c.Conn = tls.Client(lower, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, c.explain(explainHandshake(err, config.ServerName))
	}
	d.verified(upstream.Name(u), expiry(c.ConnectionState().VerifiedChains))
	return c, nil
}

// expiry returns the end of the validity of the chain that is valid for the longest time.
func expiry(chains [][]*x509.Certificate) time.Time {
	var latest time.Time
	for _, chain := range chains {
		end := chain[0].NotAfter
		for _, cert := range chain[1:] {
			if cert.NotAfter.Before(end) {
				end = cert.NotAfter
			}
		}
		if end.After(latest) {
			latest = end
		}
	}
	return latest
}
