// Package wire watches requests on their way from the socket to net/http and
// finds those whose length can be read in two ways.
//
// net/http takes a request with both Content-Length and Transfer-Encoding,
// drops the first and says nothing: RFC 9112, section 6.1 calls such a message
// an attempt at request smuggling and lets a server refuse it, but no handler
// can see that it happened. So a [Conn] follows the framing of the bytes that
// pass through it, tells the handler, and lets nothing through behind such a
// request, so that no second request can hide there.
package wire

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
}

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
	if c.framing.fresh {
		c.framing.fresh = false
		c.serving.Store(false) // no handler has seen this one yet
	}
	if kept < n {
		c.hold(p[kept:n])
		if err != nil {
			c.err, err = err, nil
		}
	}
	c.ambiguous.Store(c.framing.ambiguous)
	c.chunked.Store(c.framing.chunked)
	return kept, err
}

// Unread puts back what somebody has read from the connection below, where a
// request begins that no handler has seen. It must come before the first Read.
func (c *Conn) Unread(p []byte) {
	c.pending = append(c.pending, p...)
	c.serving.Store(false)
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
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
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
// long, a transfer coding that it does not know. Or it is a connection too many.
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

// Write writes an answer. Those that net/http writes of its own have no request
// id and leave no trace, so Refuse writes them instead.
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
	return len(p), nil
}

// ownAnswer recognises what net/http writes before any handler: a status line
// and just these two fields, where an answer of a handler has at least a date.
func ownAnswer(p []byte) (status int, own bool) {
	const prefix, fields = "HTTP/1.1 ", "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	end := bytes.IndexByte(p, '\r')
	if end < len(prefix)+3 || !bytes.HasPrefix(p, []byte(prefix)) || !bytes.HasPrefix(p[end:], []byte(fields)) {
		return 0, false
	}
	status, err := strconv.Atoi(string(p[len(prefix) : len(prefix)+3]))
	return status, err == nil
}

type contextKey struct{}

// Context is what http.Server.ConnContext wants: it makes the connection known
// to [Begin].
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
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
