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

// idleConns is the number of idle connections that are kept for each address. With
// net/http's default of 2, every burst of requests has to open new connections.
const idleConns = 256

// maxResponseHeader bounds the header of a response, in bytes.
const maxResponseHeader = 64 << 10

func newTransport(timeout time.Duration) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	d := newDialer(timeout)
	return &http.Transport{
		// HTTP_PROXY does not apply: requests go to the configured upstream directly.
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

// dialer opens the connections of net/http's transport. Its errors wrap
// [client.ErrUnreachable]: nothing was sent, and the request may go to another address.
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

// secure does what plain does, and the TLS handshake, within the same timeout.
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

// newClients returns an HTTP/1.1 client for each address, or nil when the upstream has TLS.
func newClients(pool *upstream.Pool, timeout time.Duration) []*client.Client {
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
