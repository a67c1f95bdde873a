package client

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// conn is a connection to the upstream. It is owned by one request at a time.
type conn struct {
	client    *Client
	net       net.Conn
	raw       syscall.RawConn
	sending   *upload // of the present request; nil if it was written at once
	roundTrip roundTrip
	onReady   func(fd uintptr) bool // the method of roundTrip, bound once
	watch     contextWatch
	deadline  time.Time // before this time, begin need not set the read deadline again

	buf        []byte // buf[start:end] has been received and not yet read; nil if that is empty
	start, end int
	idleSince  time.Time
}

func newConn(nc net.Conn, c *Client) (*conn, error) {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("want a socket, found %T", nc)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	cn := &conn{client: c, net: nc, raw: raw}
	cn.onReady = cn.roundTrip.onReady
	return cn, nil
}

func (cn *conn) close() { _ = cn.net.Close() }

// finish returns the connection to the pool, or closes it.
func (cn *conn) finish(keepAlive bool) {
	keepAlive = keepAlive && cn.start == cn.end && // unread bytes would be part of the next response
		(cn.sending == nil || cn.sending.complete())
	cn.sending = nil
	cn.releaseBuffer()
	if !keepAlive {
		cn.close()
		return
	}
	cn.client.pool.put(cn)
}

// acquireBuffer gives the connection a buffer in which bytes that have arrived are read. It is
// large enough for most responses, so that they are read with one system call.
func (cn *conn) acquireBuffer() {
	cn.buf = pooled[[MaxBuffered]byte](&cn.client.pieces)[:]
}

// pooled returns a T from the pool, or a new one.
func pooled[T any](pool *sync.Pool) *T {
	if t, ok := pool.Get().(*T); ok {
		return t
	}
	return new(T)
}

// releaseBuffer makes the buffer available to other connections. Its content has been read.
func (cn *conn) releaseBuffer() {
	if len(cn.buf) == MaxBuffered {
		cn.client.pieces.Put((*[MaxBuffered]byte)(cn.buf))
	}
	cn.buf, cn.start, cn.end = nil, 0, 0
}

// read returns bytes from the buffer, or reads from the connection.
func (cn *conn) read(p []byte) (int, error) {
	if cn.start < cn.end {
		n := copy(p, cn.buf[cn.start:cn.end])
		cn.start += n
		return n, nil
	}
	cn.releaseBuffer()
	return cn.net.Read(p)
}

// line reads one line that ends in CRLF, and returns it without the CRLF.
func (cn *conn) line() (string, error) {
	var lines syntax.Scanner
	text, err := cn.readThrough(lines.Line)
	if err != nil {
		return "", unexpectedEOF(err)
	}
	return string(text[:len(text)-len("\r\n")]), nil
}

// readThrough reads up to the end that find returns: the one of [syntax.Scanner.Line] or
// [syntax.Scanner.Head]. The result is a part of the buffer and valid until the next read.
func (cn *conn) readThrough(find func([]byte) (end int, ok bool)) ([]byte, error) {
	limit := cn.client.options.MaxHeaderBytes
	for {
		received := cn.buf[cn.start:cn.end]
		switch n, ok := find(received); {
		case !ok:
			return nil, errLineFeed
		case n > 0 && n <= limit:
			cn.start += n
			return received[:n], nil
		case n > 0 || len(received) >= limit:
			return nil, fmt.Errorf("want a header of at most %d bytes, found more", limit)
		}
		if err := cn.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more bytes into the buffer. It may wait, so an empty buffer that is large is
// exchanged for a small one.
func (cn *conn) fill() error {
	switch {
	case cn.start < cn.end:
	case len(cn.buf) == MaxBuffered:
		cn.releaseBuffer()
	default:
		cn.start, cn.end = 0, 0
	}
	if cn.end == len(cn.buf) {
		cn.growBuffer()
	}
	cn.startWatch()
	n, err := cn.net.Read(cn.buf[cn.end:])
	for n == 0 && cn.extendDeadline(err) {
		n, err = cn.net.Read(cn.buf[cn.end:])
	}
	cn.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// growBuffer moves the unread bytes to the start of the buffer, or doubles the buffer.
func (cn *conn) growBuffer() {
	old := cn.buf[cn.start:cn.end]
	if cn.start == 0 {
		const initial = 4 << 10
		cn.buf = make([]byte, min(max(2*len(cn.buf), initial), cn.client.options.MaxHeaderBytes))
	}
	cn.start, cn.end = 0, copy(cn.buf, old)
}
