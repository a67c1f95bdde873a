package forward

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/certgate/certgate/internal/h1"
)

// idleConns is how many connections per upstream stay open; net/http's default
// of 2 makes every burst pay for new ones.
const idleConns = 256

// maxResponseHeader bounds the header of an answer, in bytes.
const maxResponseHeader = 64 << 10

func newTransport(timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		// No proxy from the environment: the upstream is what was configured.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return writeDeadline{c, timeout}, nil
		},
		Protocols:              protocols,
		TLSHandshakeTimeout:    min(timeout, 10*time.Second),
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  timeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// writeDeadline bounds each write, so that an upstream that stops reading
// cannot hold a request for ever.
type writeDeadline struct {
	net.Conn
	timeout time.Duration
}

func (c writeDeadline) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// newLean makes the client for plain requests, nil when there can be none.
func newLean(upstream *url.URL, timeout time.Duration) *h1.Client {
	if upstream.Scheme != "http" {
		return nil
	}
	addr := upstream.Host
	if upstream.Port() == "" {
		addr = net.JoinHostPort(upstream.Hostname(), "80")
	}
	return h1.New(h1.Options{Addr: addr, Timeout: timeout, MaxIdle: idleConns, MaxHeaderBytes: maxResponseHeader})
}
