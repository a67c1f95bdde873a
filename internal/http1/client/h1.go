// Package client is a lean HTTP/1.1 client for one upstream in cleartext.
//
// net/http's Transport hands every request to two goroutines of the connection
// and waits for them; here the caller's goroutine writes the request and reads
// the answer itself, which halves what a proxied request costs. The price is
// that a request is one [Message] that is made before a connection is touched, its
// body included. Everything else belongs to net/http.
//
// The client is strict with answers, because a mistake in one becomes somebody
// else's answer on the next request: a message whose length can be read in two
// ways, an unreadable header or surplus bytes end the connection.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// ErrUnreachable is in the error of a request for which there was no connection:
// nothing of it was sent, unless it is one that may be sent twice.
var ErrUnreachable = errors.New("no connection")

// ErrBadAnswer is in the error of a request to which the upstream answered at least
// one byte: the answer is not HTTP, too large, or not complete. The upstream is alive.
var ErrBadAnswer = errors.New("bad answer")

// Options are what a [Client] needs. All fields are required.
type Options struct {
	// Addr is the upstream's host:port.
	Addr string
	// Timeout bounds connecting, and writing the request together with the wait
	// for the answer's header.
	Timeout time.Duration
	// MaxIdle is how many connections are kept for later.
	MaxIdle int
	// MaxHeaderBytes bounds the answer's header.
	MaxHeaderBytes int
}

// Client talks to one upstream. It is safe for concurrent use.
type Client struct {
	options Options
	dialer  net.Dialer
	pool    pool
}

// Supported reports whether a [Client] works on this system. It has been tested on Linux
// only; elsewhere net/http has to send the requests.
const Supported = runtime.GOOS == "linux"

// New makes a client; nothing is connected before the first request.
func New(o Options) *Client {
	return &Client{
		options: o,
		dialer:  net.Dialer{Timeout: min(o.Timeout, 10*time.Second)},
		pool:    pool{max: o.MaxIdle},
	}
}

// Do sends the message and returns the answer.
//
// Nothing is sent twice, with one exception: a GET or HEAD without a body whose
// kept connection turned out to be dead before a byte of an answer came
// (RFC 9110, section 9.2.2).
//
// After an error with [ErrUnreachable] the request may be sent elsewhere. An error
// with [ErrBadAnswer] says that an answer began; any other one, unless ctx is done,
// that no byte of an answer came.
//
// The answer's body must be closed. Answers 1xx are skipped, except 101, which
// is an error.
func (c *Client) Do(ctx context.Context, m *Message) (Answer, error) {
	if m.err != nil {
		return Answer{}, m.err
	}
	if err := ctx.Err(); err != nil {
		return Answer{}, err
	}
	now := time.Now()
	for cn := c.pool.get(now); cn != nil; cn = c.pool.get(now) {
		a, err := c.exchange(ctx, cn, m, now)
		if errors.Is(err, errStale) {
			continue // nothing was sent
		}
		if !errors.Is(err, errUnanswered) || !m.repeatable() {
			return a, err
		}
		break
	}
	cn, err := c.dial(ctx)
	if err != nil {
		return Answer{}, err
	}
	a, err := c.exchange(ctx, cn, m, time.Now())
	if errors.Is(err, errStale) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return a, err
}

// exchange does one request on one connection, which ends with it on an error.
func (c *Client) exchange(ctx context.Context, cn *conn, m *Message, now time.Time) (Answer, error) {
	a, err := cn.exchange(ctx, m, now)
	if err == nil {
		return a, nil
	}
	cn.close()
	if ctx.Err() != nil {
		return Answer{}, context.Cause(ctx) // and not the deadline that stood for it
	}
	return Answer{}, err
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	nc, err := c.dialer.DialContext(ctx, "tcp", c.options.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return newConn(nc, c)
}

// CloseIdleConnections closes the connections that are not in use.
func (c *Client) CloseIdleConnections() { c.pool.closeAll() }
