//go:build linux

package server

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// bufferSize is enough for nearly every request and most responses.
const bufferSize = 8 << 10

// buffer returns a buffer from the pool.
func (s *Server) buffer() *[bufferSize]byte {
	if b, ok := s.buffers.Get().(*[bufferSize]byte); ok {
		return b
	}
	return new([bufferSize]byte)
}

// releaseBuffer returns the read buffer to the pool and drops its content.
func (c *conn) releaseBuffer() {
	if len(c.in) == bufferSize {
		c.s.buffers.Put((*[bufferSize]byte)(c.in))
	}
	c.in, c.r, c.w = nil, 0, 0
}

// growBuffer moves the unused bytes to the buffer's start, or to a larger buffer. The bound on
// headers limits its size.
func (c *conn) growBuffer() {
	old, r, w := c.in, c.r, c.w
	if r == 0 {
		c.in = make([]byte, min(4*len(old), c.s.fallback.MaxHeaderBytes+1))
	}
	n := copy(c.in, old[r:w])
	if r == 0 && len(old) == bufferSize {
		c.s.buffers.Put((*[bufferSize]byte)(old))
	}
	c.r, c.w = 0, n
}

// write writes all of p and q, which are not both empty. It sets a deadline only if the
// client does not accept them at once.
func (c *conn) write(p, q []byte) error {
	c.out, c.sent, c.sentErr = [2][]byte{p, q}, 0, nil
	err := c.raw.Write(c.writable)
	c.out = [2][]byte{}
	if err == nil {
		err = c.sentErr
	}
	if err != nil || c.sent == len(p)+len(q) {
		return err
	}
	_ = c.net.SetWriteDeadline(after(c.s.writeTimeout))
	sent := min(c.sent, len(p))
	unsent := net.Buffers{p[sent:], q[c.sent-sent:]}
	if _, err = unsent.WriteTo(c.net); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// writeOnce writes what the socket accepts without waiting. It has the signature that
// [syscall.RawConn] expects.
func (c *conn) writeOnce(fd uintptr) bool {
	n, err := nonblock.Write(fd, c.out[0], c.out[1])
	if !errors.Is(err, syscall.EAGAIN) {
		c.sentErr = err
	}
	c.sent = n
	return true
}
