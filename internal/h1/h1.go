// Package h1 is a lean HTTP/1.1 client for one upstream in cleartext.
//
// net/http's Transport hands every request to two goroutines of the connection
// and waits for them; here the caller's goroutine writes the request and reads
// the answer itself, which halves what a proxied request costs. The price is
// that only plain requests are taken ([Plain]): no body, or one of declared and
// moderate length, which is read whole before a connection is touched, so that a
// slow client never holds one. Everything else belongs to net/http.
//
// The client is strict with answers, because a mistake in one becomes somebody
// else's answer on the next request: a message whose length can be read in two
// ways, an unreadable header or surplus bytes end the connection.
package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// MaxBody is the longest request body that is taken, in bytes.
const MaxBody = 64 << 10

// ErrUnreachable is in the error of a request for which there was no connection:
// nothing of it was sent, unless it is one that may be sent twice.
var ErrUnreachable = errors.New("no connection")

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

// Client is an [http.RoundTripper] for plain requests. It is safe for concurrent
// use.
type Client struct {
	options Options
	dialer  net.Dialer
	pool    pool
	buffers sync.Pool // of *[]byte: request messages that were sent
}

// New makes a client; nothing is connected before the first request.
func New(o Options) *Client {
	return &Client{
		options: o,
		dialer:  net.Dialer{Timeout: min(o.Timeout, 10*time.Second)},
		pool:    pool{max: o.MaxIdle},
	}
}

// Plain reports whether the client takes the request: HTTP without TLS, an
// opaque target, and no body or one of declared length up to [MaxBody].
func Plain(r *http.Request) bool {
	return r.URL.Scheme == "http" && r.URL.Opaque != "" && r.ContentLength >= 0 && r.ContentLength <= MaxBody &&
		len(r.Trailer) == 0 && len(r.TransferEncoding) == 0
}

// RoundTrip sends a request that is [Plain] and returns the answer. The request
// is written from its Method, URL.Opaque, Host, Header, ContentLength and Body.
// Host, Content-Length and Transfer-Encoding in the Header are passed over;
// other fields that concern the connection must not be there.
//
// Nothing is sent twice, with one exception: a GET or HEAD without a body whose
// kept connection turned out to be dead before a byte of an answer came
// (RFC 9110, section 9.2.2).
//
// After an error with [ErrUnreachable] the request may be sent elsewhere.
//
// The answer's body must be closed. Answers 1xx are skipped, except 101, which
// is an error.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	message, err := c.compose(r)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		c.buffers.Put(message)
		return nil, err
	}
	defer c.buffers.Put(message)
	for cn := c.pool.get(); cn != nil; cn = c.pool.get() {
		res, err := c.exchange(cn, r, *message)
		if errors.Is(err, errStale) {
			continue // nothing was sent
		}
		if !errors.Is(err, errUnanswered) || !repeatable(r) {
			return res, err
		}
		break
	}
	cn, err := c.dial(r.Context())
	if err != nil {
		return nil, err
	}
	return c.exchange(cn, r, *message)
}

// exchange does one request on one connection, which ends with it on an error.
func (c *Client) exchange(cn *conn, r *http.Request, message []byte) (*http.Response, error) {
	res, err := cn.exchange(r, message, c.options.Timeout)
	if err == nil {
		return res, nil
	}
	cn.close()
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context()) // and not the deadline that stood for it
	}
	return nil, err
}

func repeatable(r *http.Request) bool {
	return r.ContentLength == 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	nc, err := c.dialer.DialContext(ctx, "tcp", c.options.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return newConn(nc, &c.pool, c.options.MaxHeaderBytes)
}

// CloseIdleConnections closes the connections that are not in use.
func (c *Client) CloseIdleConnections() { c.pool.closeAll() }

// compose writes the whole request into one buffer, so that it leaves in one
// system call. What could be read as more than one request is refused.
func (c *Client) compose(r *http.Request) (*[]byte, error) {
	if err := check(r); err != nil {
		return nil, err
	}
	buf, ok := c.buffers.Get().(*[]byte)
	if !ok { // the pool has nothing yet
		buf = new([]byte)
	}
	b, err := appendHead((*buf)[:0], r)
	if err == nil && r.ContentLength > 0 {
		b, err = appendBody(b, r.Body, int(r.ContentLength))
	}
	*buf = b
	if err != nil {
		c.buffers.Put(buf)
		return nil, err
	}
	return buf, nil
}

func check(r *http.Request) error {
	switch {
	case !Plain(r) || r.ContentLength > 0 && r.Body == nil:
		return errors.New("want a plain request, found another")
	case !isToken(r.Method):
		return fmt.Errorf("want a method, found %.40q", r.Method)
	case !isWord(r.URL.Opaque):
		return fmt.Errorf("want a request target, found %.40q", r.URL.Opaque)
	case !isWord(r.Host):
		return fmt.Errorf("want a host, found %.40q", r.Host)
	}
	return nil
}

func appendHead(b []byte, r *http.Request) ([]byte, error) {
	b = append(append(append(append(b, r.Method...), ' '), r.URL.Opaque...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	for name, values := range r.Header {
		switch {
		case name == "Content-Length" || name == "Host" || name == "Transfer-Encoding":
			continue // they are written from the request's own fields
		case !isToken(name):
			return b, fmt.Errorf("want a header name, found %.40q", name)
		}
		for _, v := range values {
			if !printable(v) {
				return b, fmt.Errorf("want a header value without control characters in %q", name)
			}
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.ContentLength > 0 || needsLength(r.Method) {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// needsLength: methods that usually have a body say so when it is empty
// (RFC 9110, section 8.6), as net/http does.
func needsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func appendBody(b []byte, body io.Reader, n int) ([]byte, error) {
	start := len(b)
	if cap(b) < start+n {
		b = append(make([]byte, 0, start+n), b...)
	}
	b = b[:start+n]
	_, err := io.ReadFull(body, b[start:])
	return b, err
}
