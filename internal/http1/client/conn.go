package client

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// conn is a connection to the upstream. It is owned by one request at a time.
type conn struct {
	options   *Options
	net       net.Conn
	raw       syscall.RawConn
	pool      *pool
	pieces    *sync.Pool
	sending   *upload // of the present request; nil if it was written at once
	roundTrip roundTrip
	onReady   func(fd uintptr) bool // the method of roundTrip, bound once
	watch     contextWatch
	deadline  time.Time // before this time, begin need not set the read deadline again

	buf        []byte // buf[start:end] has been received and not yet read
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
	cn := &conn{options: &c.options, net: nc, raw: raw, pool: &c.pool, pieces: &c.pieces, buf: make([]byte, 4<<10)}
	cn.onReady = cn.roundTrip.onReady
	return cn, nil
}

func (cn *conn) close() { _ = cn.net.Close() }

// finish returns the connection to the pool, or closes it.
func (cn *conn) finish(keepAlive bool) {
	keepAlive = keepAlive && (cn.sending == nil || cn.sending.complete())
	cn.sending = nil
	if !keepAlive || cn.start != cn.end { // unread bytes would be part of the next response
		cn.close()
		return
	}
	cn.pool.put(cn)
}

// read returns bytes from the buffer, or reads from the connection.
func (cn *conn) read(p []byte) (int, error) {
	if cn.start < cn.end {
		n := copy(p, cn.buf[cn.start:cn.end])
		cn.start += n
		return n, nil
	}
	return cn.net.Read(p)
}

// line reads one line that ends in CRLF, and returns it without the CRLF.
func (cn *conn) line() (string, error) {
	for {
		received := cn.buf[cn.start:cn.end]
		if i := bytes.IndexByte(received, '\n'); i >= 0 {
			if i == 0 || received[i-1] != '\r' {
				return "", errLineFeed
			}
			cn.start += i + 1
			return string(received[:i-1]), nil
		}
		if err := cn.fill(cn.options.MaxHeaderBytes); err != nil {
			return "", err
		}
	}
}

// fill reads more bytes into the buffer, which grows up to limit bytes.
func (cn *conn) fill(limit int) error {
	if cn.start > 0 && cn.start == cn.end {
		cn.start, cn.end = 0, 0
	}
	if cn.end == len(cn.buf) {
		if err := cn.growBuffer(limit); err != nil {
			return err
		}
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
func (cn *conn) growBuffer(limit int) error {
	if cn.start > 0 {
		cn.end = copy(cn.buf, cn.buf[cn.start:cn.end])
		cn.start = 0
		return nil
	}
	if len(cn.buf) >= limit {
		return fmt.Errorf("want a header of at most %d bytes, found more", limit)
	}
	bigger := make([]byte, min(2*len(cn.buf), limit))
	cn.end = copy(bigger, cn.buf[:cn.end])
	cn.buf = bigger
	return nil
}
