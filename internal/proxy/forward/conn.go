package forward

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// conn is a connection of net/http's transport. It bounds each write, so that an upstream
// that stops reading cannot block a request forever, and decides whether the connection
// may be used again.
type conn struct {
	net.Conn // TLS over socket, or socket

	socket   *socket
	timeout  time.Duration // of each write
	outdated func() bool   // reports whether the certificates for TLS were replaced; nil without TLS

	answered atomic.Bool // bytes were received since the last request began
	reusable atomic.Bool // the last response allows another request
	failed   atomic.Bool // reading has ended
	closed   atomic.Bool
	readErr  error // why reading has ended; valid after failed is set
}

func newConn(c net.Conn, s *socket, timeout time.Duration) *conn {
	cn := &conn{Conn: c, socket: s, timeout: timeout}
	cn.reusable.Store(true)
	return cn
}

// Write writes p. The transport closes a connection when reading ends, even before the first
// write: with TLS 1.3 an upstream refuses a client certificate after the handshake. Write then
// returns why reading has ended, because the log must name that reason.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if errors.Is(err, net.ErrClosed) && c.failed.Load() {
		err = c.readErr
	}
	return n, err
}

func (c *conn) write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if timeout := net.Error(nil); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		c.awaitResponse()
	}
	return n, err
}

// awaitResponse waits, after a write has failed, until the transport has delivered the
// response or reading has ended. An upstream may respond and close without reading the whole
// body, and after a failed write the transport drops a response that it has not delivered.
func (c *conn) awaitResponse() {
	eventually(func() bool { return c.reusable.Load() || c.failed.Load() || c.closed.Load() })
}

// eventually waits until the condition is true and reports whether it is, for up to about
// one second.
func eventually(condition func() bool) bool {
	const attempts = 17
	wait := 10 * time.Microsecond
	for range attempts {
		if condition() {
			return true
		}
		time.Sleep(wait)
		wait *= 2
	}
	return false
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered.Store(true)
	}
	if err != nil && !c.failed.Load() {
		c.readErr = err
		c.failed.Store(true)
	}
	return n, err
}

func (c *conn) Close() error {
	defer c.closed.Store(true)
	return c.Conn.Close()
}

// isOutdated reports whether the connection was made with certificates that are no longer in
// force. It carries no further request then.
func (c *conn) isOutdated() bool { return c.outdated != nil && c.outdated() }

// usable reports whether a kept connection may carry another request: the previous response
// allows it, and no bytes followed that response, such as the body of a response to HEAD.
// The transport checks for such bytes too, but only after it has given the connection to the
// next request, which could receive them as its response. The transport's reader may still
// process the previous response, so usable waits for it, up to about one second.
func (c *conn) usable() bool {
	known := eventually(func() bool { return c.closed.Load() || c.reusable.Load() && c.socket.quiescent() })
	return known && !c.closed.Load()
}
