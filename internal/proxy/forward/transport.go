package forward

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// idleConns is how many connections per upstream stay open; net/http's default
// of 2 makes every burst pay for new ones.
const idleConns = 256

// maxResponseHeader bounds the header of an answer, in bytes.
const maxResponseHeader = 64 << 10

func newTransport(timeout time.Duration) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	d := newDialer(timeout)
	return &http.Transport{
		// No proxy from the environment: the upstream is what was configured.
		Proxy:                  nil,
		DialContext:            d.plain,
		DialTLSContext:         d.secure,
		Protocols:              protocols,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  timeout,
		DisableCompression:     true,
		DisableKeepAlives:      !canInspect,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// dialer opens the transport's connections. Its errors are [client.ErrUnreachable]: nothing
// was sent, and the request may be sent elsewhere.
type dialer struct {
	net     net.Dialer
	tls     *tls.Config
	timeout time.Duration // of each write
}

func newDialer(timeout time.Duration) *dialer {
	return &dialer{
		net:     net.Dialer{Timeout: min(timeout, 10*time.Second)},
		tls:     &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		timeout: timeout,
	}
}

func (d *dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	s, err := d.dial(ctx, network, addr, false)
	if err != nil {
		return nil, unreachable(err)
	}
	return newConn(s, s, d.timeout), nil
}

// secure is plain with TLS up to the end of the handshake, within the same time.
func (d *dialer) secure(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.net.Timeout)
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, unreachable(err)
	}
	s, err := d.dial(ctx, network, addr, true)
	if err != nil {
		return nil, unreachable(err)
	}
	config := d.tls.Clone()
	config.ServerName = host
	c := tls.Client(s, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = s.Close()
		return nil, unreachable(err)
	}
	return newConn(c, s, d.timeout), nil
}

func (d *dialer) dial(ctx context.Context, network, addr string, secure bool) (*socket, error) {
	nc, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s, err := newSocket(nc, secure)
	if err != nil {
		_ = nc.Close()
	}
	return s, err
}

func unreachable(err error) error { return fmt.Errorf("%w: %w", client.ErrUnreachable, err) }

// newLean makes the clients for plain requests, one for each address; nil when
// there can be none.
func newLean(pool *upstream.Pool, timeout time.Duration) []*client.Client {
	var clients []*client.Client
	for i := range pool.Len() {
		if pool.URL(i).Scheme != "http" {
			return nil
		}
		clients = append(clients, client.New(client.Options{
			Addr: pool.Name(i), Timeout: timeout, MaxIdle: idleConns, MaxHeaderBytes: maxResponseHeader,
		}))
	}
	return clients
}
