// Package framing watches requests on their way from the socket to net/http and
// finds those whose length can be read in two ways.
//
// net/http takes a request with both Content-Length and Transfer-Encoding,
// drops the first and says nothing: RFC 9112, section 6.1 calls such a message
// an attempt at request smuggling and lets a server refuse it, but no handler
// can see that it happened. So a [Conn] follows the framing of the bytes that
// pass through it, tells the handler, and lets nothing through behind such a
// request, so that no second request can hide there.
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

// Conn is a server's side of a connection. Each Read returns bytes of one
// request only, so what [Conn.ambiguous] says belongs to the request whose
// header was read last. Reads are for one goroutine at a time, as net/http does.
type Conn struct {
	net.Conn
	listener *Listener
	closed   atomic.Bool

	framing   framing
	pending   []byte // read from the socket, behind the end of a request
	ambiguous atomic.Bool
	chunked   atomic.Bool
	err       error

	serving atomic.Bool // a handler answers the present request

	limits   atomic.Pointer[limits] // of a request that was handed over; nil: none
	headRead atomic.Bool            // its header has been read
}

// limits are the latest read deadlines for one request; the zero time is none.
type limits struct{ header, whole time.Time }

// Read reads from the connection, never beyond the end of the present request.
// Behind an ambiguous header it reports the end of the stream, behind a body that
// is not framed as it must be an error.
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
	if c.framing.headRead {
		c.headRead.Store(true)
	}
	return kept, err
}

// Unread puts back bytes that another reader took from the connection below, at the
// beginning of a request that no handler has seen. It must come before the first Read.
// The request's header has to be read by the time header, and all of it by whole; the
// zero time is no limit. Later deadlines that net/http sets are moved to these, so that
// its timeouts do not start anew.
func (c *Conn) Unread(p []byte, header, whole time.Time) {
	c.pending = append(c.pending, p...)
	c.serving.Store(false)
	c.limits.Store(&limits{header, whole})
}

// SetReadDeadline sets the deadline for reads, but no later than the limits of
// [Conn.Unread] until that request has been answered.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if l := c.limits.Load(); l != nil {
		limit := l.header
		if c.headRead.Load() {
			limit = l.whole
		}
		if !limit.IsZero() && (t.IsZero() || t.After(limit)) {
			t = limit
		}
	}
	return c.Conn.SetReadDeadline(t)
}

// fill takes what was held back before it asks the socket.
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

// hold puts back bytes that belong to the next request, before those that are
// held already.
func (c *Conn) hold(rest []byte) {
	if c.framing.broken {
		c.pending = nil
		return
	}
	c.pending = append(append(make([]byte, 0, len(rest)+len(c.pending)), rest...), c.pending...)
}

// CloseWrite ends the answers while requests can still be read. net/http does
// that before it closes on a client that is still sending, or the client might
// lose the answer.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// lingerTime is how long a client may take to read its last answer.
const lingerTime = 500 * time.Millisecond

// Linger ends the answers and waits a while for the client to have read them: a
// connection that is closed while bytes of the client wait to be read is reset,
// and the answer lost.
func (c *Conn) Linger() {
	const enough = 256 << 10
	if c.CloseWrite() != nil {
		return
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.Conn, enough)
}

// Close closes the connection; it may be called again.
func (c *Conn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.listener.open.Add(-1)
	}
	return c.Conn.Close()
}

// Refusal is a request that net/http refused: a broken header, one that is too
// long, an unknown transfer coding or expectation. Or it is a connection over
// MaxConnections.
type Refusal struct {
	Remote net.Addr
	// Status is net/http's, 503 for a connection too many.
	Status int
	// Stranger is true for a connection that [Options.Admit] did not accept.
	Stranger bool
	// Ambiguous is true when the length could be read in two ways, too.
	Ambiguous bool
	// PEM is the type of a PEM block whose line breaks were in the header, as far as
	// its first line ends one of the header's; else empty.
	PEM string
	// RequestLine is as it came, but for what is longer than 128 bytes.
	RequestLine string
}

// Write writes an answer. An answer that net/http makes itself has no request id and
// is not logged, so Refuse makes another one in its place. Then the connection waits
// until the client has read it, because net/http closes at once.
func (c *Conn) Write(p []byte) (int, error) {
	if d := c.listener.options.WriteTimeout; d > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(d))
	}
	status, own := ownAnswer(p)
	if c.listener.options.Refuse == nil || !own || c.serving.Load() {
		return c.Conn.Write(p)
	}
	answer := c.listener.options.Refuse(Refusal{
		Remote: c.RemoteAddr(), Status: status,
		Ambiguous: c.framing.ambiguous, PEM: c.framing.pem, RequestLine: string(c.framing.requestLine()),
	})
	if _, err := c.Conn.Write(answer); err != nil {
		return 0, err
	}
	if status != http.StatusRequestHeaderFieldsTooLarge { // net/http waits itself
		c.Linger()
	}
	return len(p), nil
}

// ownAnswer recognizes an answer that net/http writes before it calls a handler: a
// status line and just these two fields, or 417 for an unknown expectation.
func ownAnswer(p []byte) (status int, own bool) {
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

// Context is what http.Server.ConnContext wants: it makes the connection known
// to [Begin].
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// State is what http.Server.ConnState wants: it tells the connection that a request has
// been answered, so that what net/http writes next is its own. A server whose
// connections come from a [Listener] needs it.
func State(c net.Conn, s http.ConnState) {
	if c, ok := c.(*Conn); ok && s == http.StateIdle {
		c.serving.Store(false)
		c.limits.Store(nil)
	}
}

// Begin tells the connection that a handler answers r from here on, and reports
// whether the length of r could be read in two ways: it had several Content-Length
// or Transfer-Encoding fields, or both, or a Transfer-Encoding in HTTP/1.0, which
// net/http ignores (RFC 9112, section 6.1). A request that did not come through a
// [Listener] is ambiguous: nobody looked.
func Begin(r *http.Request) (ambiguous bool) {
	c, ok := r.Context().Value(contextKey{}).(*Conn)
	if !ok {
		return true
	}
	c.serving.Store(true)
	return c.ambiguous.Load() || (c.chunked.Load() && !r.ProtoAtLeast(1, 1))
}
