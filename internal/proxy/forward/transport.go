package forward

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// idleConns is the number of idle connections that are kept for each address. With
// net/http's default of 2, every burst of requests has to open new connections.
const idleConns = 256

// maxResponseHeader bounds the header of a response, in bytes.
const maxResponseHeader = 64 << 10

// connector opens the connections of net/http's transport to one address. Its errors wrap
// [client.ErrUnreachable]: nothing was sent, and the request may go to another address.
type connector struct {
	dialer  *dialer.Dialer
	address *url.URL
	timeout time.Duration // of each write
}

// newTransports returns a transport of net/http for each address.
func newTransports(o Options) []*http.Transport {
	d := o.Dialer
	if d == nil {
		d = dialer.New(dialer.Options{Timeout: o.Timeout}, dialer.Security{})
	}
	var transports []*http.Transport
	for i := range o.Pool.Len() {
		c := &connector{dialer: d, address: o.Pool.URL(i), timeout: o.Timeout}
		transports = append(transports, c.newTransport())
	}
	return transports
}

func (c *connector) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		// HTTP_PROXY does not apply: requests go to the configured upstream directly.
		Proxy:                  nil,
		DialContext:            c.dial,
		DialTLSContext:         c.dial,
		Protocols:              protocols,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  c.timeout,
		DisableCompression:     true,
		DisableKeepAlives:      !canInspect,
		MaxResponseHeaderBytes: maxResponseHeader,
		WriteBufferSize:        writeBuffer,
	}
}

// writeBuffer is the size of a connection's write buffer. net/http reads up to 32 KiB of a body
// at once, and flushes each part of a chunked body; one that fits with its size is one write.
const writeBuffer = 33 << 10

// dial opens a connection to the address, with TLS if its scheme is https. The parameters
// are the network and the address in the URL of the request, which is the same for every
// Unix socket.
func (c *connector) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var s *socket
	nc, err := c.dialer.Dial(ctx, c.address, func(nc net.Conn) (_ net.Conn, err error) {
		s, err = newSocket(nc, c.address.Scheme == "https")
		return s, err
	})
	if err != nil {
		return nil, unreachable(err)
	}
	cn := newConn(nc, s, c.timeout)
	if secure, ok := nc.(*dialer.Conn); ok {
		cn.outdated = secure.Outdated
	}
	return cn, nil
}

func unreachable(err error) error { return fmt.Errorf("%w: %w", client.ErrUnreachable, err) }

// newClients returns an HTTP/1.1 client for each address, or nil when the upstream has TLS.
func newClients(pool *upstream.Pool, timeout time.Duration) []*client.Client {
	var clients []*client.Client
	for i := range pool.Len() {
		if pool.URL(i).Scheme == "https" {
			return nil
		}
		network, addr := upstream.Endpoint(pool.URL(i))
		clients = append(clients, client.New(client.Options{
			Network: network, Addr: addr, Timeout: timeout, MaxIdle: idleConns, MaxHeaderBytes: maxResponseHeader,
		}))
	}
	return clients
}
