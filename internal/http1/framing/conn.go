// Package framing follows the bytes that net/http reads from a connection and finds
// requests whose length can be read in two ways.
//
// net/http accepts a request with both Content-Length and Transfer-Encoding and silently
// drops the first. RFC 9112, section 6.1 calls such a message a possible request smuggling
// attack and lets a server refuse it, but a handler cannot see both fields. Therefore a
// [Conn] parses the framing itself, reports an ambiguous request to the handler, and ends
// the stream after it, so that no second request can hide there.
package framing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Conn is the server's side of a connection. Each Read returns bytes of one request only, so
// that ambiguous belongs to the request whose header was read last. One goroutine at a time
// may read, as in net/http.
type Conn struct {
	net.Conn
	listener *Listener
	closed   atomic.Bool

	framing   framing
	pending   []byte // read from the socket, after the end of a request
	ambiguous atomic.Bool
	chunked   atomic.Bool
	err       error

	serving atomic.Bool // a handler has the present request

	limit atomic.Pointer[time.Time] // the latest read deadline of a request that was handed over; nil: none
	whole time.Time                 // the limit after its header; constant after Unread
}

// Read reads from the connection, up to the end of the present request. After an ambiguous
// header it returns io.EOF, and after a malformed chunk an error.
func (c *Conn) Read(p []byte) (int, error) {
	if c.framing.broken {
		return 0, c.framing.end()
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.fill(p)
	kept := c.framing.advance(p[:n])
	if kept < n {
		c.hold(p[kept:n])
		if err != nil {
			c.err, err = err, nil
		}
	}
	c.ambiguous.Store(c.framing.ambiguous)
	c.chunked.Store(c.framing.chunked)
	if c.framing.headRead() && c.limit.Load() != nil {
		c.limit.Store(&c.whole)
	}
	return kept, err
}

// Unread puts back bytes that another reader took from the connection below, at the
// beginning of a request that no handler has seen. It must be called before the first Read.
// The request's header has to be read by the time header, and all of it by whole; the zero
// time is no limit. Deadlines that net/http sets are moved forward to these, so that its
// timeouts do not start again.
func (c *Conn) Unread(p []byte, header, whole time.Time) {
	c.pending = append(c.pending, p...)
	c.serving.Store(false)
	c.whole = whole
	c.limit.Store(&header)
}

// SetReadDeadline sets the deadline for reads, but no later than the limits of
// [Conn.Unread] until that request has been answered.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if limit := c.limit.Load(); limit != nil && !limit.IsZero() && (t.IsZero() || t.After(*limit)) {
		t = *limit
	}
	return c.Conn.SetReadDeadline(t)
}

// fill returns pending bytes, or reads from the socket when there are none.
func (c *Conn) fill(p []byte) (int, error) {
	if len(c.pending) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		return c.Conn.Read(p)
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// hold puts back bytes that belong to the next request, in front of the pending ones.
func (c *Conn) hold(rest []byte) {
	if c.framing.broken {
		c.pending = nil
		return
	}
	c.pending = append(append(make([]byte, 0, len(rest)+len(c.pending)), rest...), c.pending...)
}

// CloseWrite closes the writing side only. net/http calls it before it closes a connection
// whose client is still sending, because a reset could destroy the response.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// lingerTime is how long a client may take to read its last response.
const lingerTime = 500 * time.Millisecond

// Linger closes the writing side and reads for up to [lingerTime], until the client closes the
// connection. The kernel resets a connection that is closed with unread bytes, and
// the client would lose the response.
func (c *Conn) Linger() {
	const enough = 256 << 10
	if c.CloseWrite() != nil {
		return
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.Conn, enough)
}

// Close closes the connection. It may be called more than once.
func (c *Conn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.listener.open.Add(-1)
	}
	return c.Conn.Close()
}

// Refusal describes a request that net/http refused because of a malformed or too long
// header, an unknown transfer coding or an unknown expectation, or a connection that the
// [Listener] refused.
type Refusal struct {
	Remote net.Addr
	// Status is the status of net/http's response, 503 for a connection over MaxConnections.
	Status int
	// NotAdmitted is true for a connection that [Options.Admit] refused.
	NotAdmitted bool
	// Ambiguous is true when the length of the request could also be read in two ways.
	Ambiguous bool
	// PEM is the type of a PEM block that was sent with its line breaks, such as
	// "CERTIFICATE", if a line of the header ends with the block's first line; else empty.
	PEM string
	// RequestLine has the first 128 bytes of the request line, as received.
	RequestLine string
}

// Write writes a part of a response. A response that net/http makes itself has no request
// id and no log line, so Write sends the response of [Options.Refuse] instead. Then it waits
// until the client has read that response, because net/http closes the connection at once.
func (c *Conn) Write(p []byte) (int, error) {
	if d := c.listener.options.WriteTimeout; d > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(d))
	}
	status, own := ownResponse(p)
	if c.listener.options.Refuse == nil || !own || c.serving.Load() {
		return c.Conn.Write(p)
	}
	response := c.listener.options.Refuse(Refusal{
		Remote: c.RemoteAddr(), Status: status,
		Ambiguous: c.framing.ambiguous, PEM: c.framing.pem, RequestLine: string(c.framing.requestLine()),
	})
	if _, err := c.Conn.Write(response); err != nil {
		return 0, err
	}
	if status != http.StatusRequestHeaderFieldsTooLarge { // net/http waits itself
		c.Linger()
	}
	return len(p), nil
}

// ownResponse recognizes a response that net/http writes before it calls a handler: a status
// line and exactly these two fields, or 417 for an unknown expectation.
func ownResponse(p []byte) (status int, own bool) {
	const prefix, fields = "HTTP/1.1 ", "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	end := bytes.IndexByte(p, '\r')
	if end < len(prefix)+3 || !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return 0, false
	}
	status, err := strconv.Atoi(string(p[len(prefix) : len(prefix)+3]))
	switch {
	case err != nil:
		return 0, false
	case status == http.StatusExpectationFailed: // also as HTTP/1.0, with more fields
		return status, true
	default:
		return status, bytes.HasPrefix(p, []byte(prefix)) && bytes.HasPrefix(p[end:], []byte(fields))
	}
}

type contextKey struct{}

// Context adds the connection to its context, where [Begin] finds it. It is for
// http.Server.ConnContext.
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// State marks the end of a request, after which a response without a handler is net/http's
// own. It is for http.Server.ConnState; every server with a [Listener] needs it.
func State(c net.Conn, s http.ConnState) {
	if c, ok := c.(*Conn); ok && s == http.StateIdle {
		c.serving.Store(false)
		c.limit.Store(nil)
	}
}

// Begin marks the start of the handler for r, and reports whether the length of r could be
// read in two ways: it had several Content-Length or Transfer-Encoding fields, or both, or a
// Transfer-Encoding in HTTP/1.0, which net/http ignores (RFC 9112, section 6.1). A request
// that did not come through a [Listener] counts as ambiguous, because its bytes were not
// checked.
func Begin(r *http.Request) (ambiguous bool) {
	c, ok := r.Context().Value(contextKey{}).(*Conn)
	if !ok {
		return true
	}
	c.serving.Store(true)
	return c.ambiguous.Load() || (c.chunked.Load() && !r.ProtoAtLeast(1, 1))
}
