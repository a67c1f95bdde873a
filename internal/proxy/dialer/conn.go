package dialer

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Conn is a TLS connection to the upstream.
type Conn struct {
	*tls.Conn

	dialer    *Dialer
	security  *Security
	requested atomic.Bool // the upstream requested a client certificate
	received  atomic.Bool // at least one byte of a response was received
}

// Outdated reports whether the certificates were replaced after the connection was begun.
func (c *Conn) Outdated() bool { return c.security != c.dialer.security.Load() }

// config returns the configuration of the handshake with a host. No session is resumed, so
// both certificates are verified for each connection.
func (c *Conn) config(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		RootCAs:    c.security.Roots,
		ServerName: cmp.Or(c.security.ServerName, host),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c.requested.Store(true)
			if c.security.Certificate == nil {
				return new(tls.Certificate), nil
			}
			return c.security.Certificate, nil
		},
	}
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.received.Store(true)
	}
	return n, c.explain(err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

// explain adds to an error before the first response that the upstream requested a client
// certificate. With TLS 1.3 the refusal of a client certificate arrives after the handshake,
// as an alert, or as the end of the connection if the alert is lost.
func (c *Conn) explain(err error) error {
	switch {
	case err == nil || c.received.Load() || !c.requested.Load():
		return err
	case c.security.Certificate == nil:
		return fmt.Errorf("the upstream requested a client certificate, and UPSTREAM_CERT_FILE is not set: %w", err)
	default:
		return fmt.Errorf("the upstream requested a client certificate and received that of UPSTREAM_CERT_FILE: %w", err)
	}
}

// explainHandshake adds to the error of a handshake the names and issuers that the operator
// has to compare with the settings.
func explainHandshake(err error, serverName string) error {
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("want a certificate for %q, found one for %s", serverName, names(wrong.Certificate))
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && unknown.Cert != nil {
		return fmt.Errorf("want a certificate of a trusted issuer, found issuer %.200q: %w", unknown.Cert.Issuer.String(), err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("want a TLS server, found another protocol: %w", err)
	}
	return err
}

// maxNames is the maximum number of names of a certificate in an error.
const maxNames = 10

// names returns the names for which a certificate is valid, quoted.
func names(cert *x509.Certificate) string {
	var list []string
	for _, name := range cert.DNSNames {
		list = append(list, fmt.Sprintf("%.100q", name))
	}
	for _, ip := range cert.IPAddresses {
		list = append(list, fmt.Sprintf("%q", ip.String()))
	}
	switch {
	case len(list) == 0:
		return "no host name"
	case len(list) > maxNames:
		return fmt.Sprintf("%s and %d other names", strings.Join(list[:maxNames], ", "), len(list)-maxNames)
	default:
		return strings.Join(list, ", ")
	}
}
