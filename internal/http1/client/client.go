// Package client is an HTTP/1.1 client for one upstream in cleartext. It is the outgoing
// half of the fast path.
//
// net/http's Transport passes every request to two goroutines of the connection and waits
// for them. Here the goroutine of the caller writes the request and reads the response
// itself, which halves the cost of a proxied request. It supports only requests whose body
// has a known length. Requests with a chunked body go to net/http.
//
// The client is strict about responses: with a wrong end of one response, the next request
// on the connection, which may come from another client, would get the wrong response. The
// connection is closed when the length of a message is ambiguous, when a header is
// malformed, and when bytes follow a response.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

// ErrUnreachable is wrapped by the error for a request for which no connection could be
// made. No byte of the request was sent, unless the request is idempotent and was first sent
// on a kept connection that the upstream had closed.
var ErrUnreachable = errors.New("no connection")

// ErrBadResponse is wrapped by the error for a request to which the upstream sent at least
// one byte, but no complete HTTP response within the limits. The upstream is alive.
var ErrBadResponse = errors.New("bad response")

// Options configure a [Client]. All fields are required.
type Options struct {
	// Network and Addr are the upstream's address for [net.Dial]: "tcp" with host:port, or
	// "unix" with the path of a socket.
	Network, Addr string
	// Timeout bounds connecting, and writing the request together with the wait for the
	// response header.
	Timeout time.Duration
	// MaxIdle is the maximum number of idle connections that are kept.
	MaxIdle int
	// MaxHeaderBytes bounds the response header.
	MaxHeaderBytes int
}

// Client sends requests to one upstream. It is safe for concurrent use.
type Client struct {
	options Options
	dialer  net.Dialer
	pool    pool
	pieces  sync.Pool // of *[MaxBuffered]byte, for uploads and responses
	arrived sync.Pool // of *[arrivedPiece]byte
}

// Supported reports whether a [Client] works on this system. It has been tested on Linux
// only; on other systems net/http has to send the requests.
const Supported = runtime.GOOS == "linux"

// New returns a client. It opens no connection before the first request.
func New(o Options) *Client {
	return &Client{
		options: o,
		dialer:  net.Dialer{Timeout: min(o.Timeout, 10*time.Second)},
		pool:    pool{max: o.MaxIdle},
	}
}

// Do sends the request at the time now and returns the response. The caller must close the
// response's body. Responses with status 1xx are skipped, except 101, which is an error.
//
// No request is sent twice, with one exception: a GET or HEAD without a body whose kept
// connection turns out to be closed before a byte of the response arrives (RFC 9110,
// section 9.2.2).
//
// After an error that wraps [ErrUnreachable] the request may be sent to another address. An
// error that wraps [ErrBadResponse] means that a response began. Any other error means that
// no byte of a response arrived, unless ctx is done.
func (c *Client) Do(ctx context.Context, m *Request, now time.Time) (Response, error) {
	if m.err != nil {
		return Response{}, m.err
	}
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	for cn := c.pool.get(now); cn != nil; cn = c.pool.get(now) {
		res, err := c.exchange(ctx, cn, m, now)
		if errors.Is(err, errStale) {
			continue // nothing was sent
		}
		if !errors.Is(err, errNoResponse) || !m.idempotent() {
			return res, err
		}
		break
	}
	cn, err := c.dial(ctx)
	if err != nil {
		return Response{}, err
	}
	res, err := c.exchange(ctx, cn, m, time.Now())
	if errors.Is(err, errStale) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return res, err
}

// exchange writes a request on the connection and reads the header of the response. It closes
// the connection after an error.
func (c *Client) exchange(ctx context.Context, cn *conn, m *Request, now time.Time) (Response, error) {
	var head responseHead
	err := cn.begin(ctx, now)
	if err == nil {
		head, err = cn.readFinalHead(m)
	}
	if err == nil {
		return cn.newResponse(m, head), nil
	}
	cn.stopWatch()
	cn.close()
	if ctx.Err() != nil {
		err = context.Cause(ctx) // the deadline error only reports that ctx is done
	}
	return Response{}, err
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	nc, err := c.dialer.DialContext(ctx, c.options.Network, c.options.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return newConn(nc, c)
}

// CloseIdleConnections closes the connections that are not in use.
func (c *Client) CloseIdleConnections() { c.pool.closeAll() }
