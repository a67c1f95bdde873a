package forward

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/headers"
)

// conn is a connection of the transport: it bounds each write, so that an upstream
// that stops reading cannot hold a request for ever, and decides whether it may be
// used again.
type conn struct {
	net.Conn // TLS over socket, or socket

	socket  *socket
	timeout time.Duration

	answered atomic.Bool // bytes came since the last request began
	judged   atomic.Bool // the last answer allows another request
	failed   atomic.Bool // reading has ended
	closed   atomic.Bool
}

func newConn(c net.Conn, s *socket, timeout time.Duration) *conn {
	cn := &conn{Conn: c, socket: s, timeout: timeout}
	cn.judged.Store(true)
	return cn
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if timeout := net.Error(nil); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		c.hear()
	}
	return n, err
}

// hear waits a moment until the reader has got what came before a write failed: a
// service may answer and close without reading the whole body, and the transport ends
// the connection as soon as it knows of the failure.
func (c *conn) hear() {
	const looks = 12 // 40 ms in all
	wait := 10 * time.Microsecond
	for range looks {
		if c.answered.Load() || c.failed.Load() || c.closed.Load() {
			return
		}
		time.Sleep(wait)
		wait *= 2
	}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered.Store(true)
	}
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

func (c *conn) Close() error {
	defer c.closed.Store(true)
	return c.Conn.Close()
}

// mostLooks bounds how often [conn.fit] looks: 10 µs, doubled each time, for about a
// second in all.
const mostLooks = 17

// fit reports whether a kept connection may carry another request: the answer before
// allows it, and nothing came behind that answer, such as the body of an answer to HEAD.
// The transport looks for that itself, but not before it gives the connection to the
// next request, which could get those bytes for its answer. The transport's reader may
// still be busy with the answer before, so fit waits for it.
func (c *conn) fit() bool {
	wait := 10 * time.Microsecond
	for range mostLooks {
		switch {
		case c.closed.Load():
			return false
		case c.judged.Load() && c.socket.silent():
			return true
		}
		time.Sleep(wait)
		wait *= 2
	}
	return false
}

// use is one request's use of the transport's connections: the last one counts, since
// the transport may try several.
type use struct {
	body  *attempt // nil without content
	conn  *conn
	stale bool // the connection was not fit: nothing was written to it
}

// with returns a context that observes the use.
func (u *use) with(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: u.got})
}

// got is called before the request is written.
func (u *use) got(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*conn)
	if !ok {
		return
	}
	u.conn, u.stale = c, info.Reused && !c.fit()
	if u.stale {
		if u.body != nil {
			_ = u.body.Close() // nothing of it is lost
		}
		_ = c.Close()
		return
	}
	c.answered.Store(false)
	c.judged.Store(false)
}

// judge ends the connection behind an answer without a body that announces one: the
// service may send it. Another answer allows a further request. The transport may have
// given the connection to that already, which waits in [conn.fit].
func (u *use) judge(res *http.Response) {
	switch {
	case u.conn == nil:
	case announcesNothing(res):
		u.conn.judged.Store(true)
	default:
		_ = u.conn.Close()
	}
}

// announcesNothing reports whether the answer has a body where it announces one.
func announcesNothing(res *http.Response) bool {
	if res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotModified {
		return true
	}
	length := res.Header.Get(headers.ContentLength)
	return (length == "" || length == "0") && len(res.TransferEncoding) == 0
}

// answered reports whether a byte came from the connection that was used last.
func (u *use) answered() bool { return u.conn != nil && !u.stale && u.conn.answered.Load() }
