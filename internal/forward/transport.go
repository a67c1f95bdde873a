package forward

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/h1"
	"github.com/certgate/certgate/internal/upstream"
)

// idleConns is how many connections per upstream stay open; net/http's default
// of 2 makes every burst pay for new ones.
const idleConns = 256

// maxResponseHeader bounds the header of an answer, in bytes.
const maxResponseHeader = 64 << 10

func newTransport(timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second)}
	secure := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		// No proxy from the environment: the upstream is what was configured.
		Proxy:                  nil,
		DialContext:            connecting(dialer.DialContext, timeout),
		DialTLSContext:         connecting(secure.DialContext, timeout),
		Protocols:              protocols,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  timeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// dialFunc opens a connection, to the end of its handshake where it has one.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// connecting marks the error of a connection that did not come about, as package
// h1 does: the request may be sent elsewhere.
func connecting(dial dialFunc, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", h1.ErrUnreachable, err)
		}
		return &conn{Conn: c, timeout: timeout}, nil
	}
}

// conn bounds each write, so that an upstream that stops reading cannot hold a request
// for ever, and knows whether somebody waits to read.
type conn struct {
	net.Conn

	timeout time.Duration
	reading atomic.Bool
	closed  atomic.Bool
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	defer c.reading.Store(false)
	return c.Conn.Read(p)
}

func (c *conn) Close() error {
	defer c.closed.Store(true)
	return c.Conn.Close()
}

// settle waits until the transport has looked behind the answer before: it reads from
// the connection again, or has closed it.
func (c *conn) settle() {
	for wait := 10 * time.Microsecond; wait < time.Second; wait *= 2 {
		if c.reading.Load() || c.closed.Load() {
			return
		}
		time.Sleep(wait)
	}
	_ = c.Close()
}

// settled has the transport use a kept connection only when nothing stands behind the
// answer before, such as the body of an answer to HEAD. It looks for that itself, but
// not before it gives the connection to the next request, which could get those bytes
// for its answer.
func settled(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if c, ok := got.Conn.(*conn); ok && got.Reused {
			c.settle()
		}
	}})
}

// newLean makes the clients for plain requests, one for each address; nil when
// there can be none.
func newLean(pool *upstream.Pool, timeout time.Duration) []*h1.Client {
	var clients []*h1.Client
	for i := range pool.Len() {
		if pool.URL(i).Scheme != "http" {
			return nil
		}
		clients = append(clients, h1.New(h1.Options{
			Addr: pool.Name(i), Timeout: timeout, MaxIdle: idleConns, MaxHeaderBytes: maxResponseHeader,
			Relay: relayed,
		}))
	}
	return clients
}
