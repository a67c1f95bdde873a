//go:build linux

package server

import (
	"errors"
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

// acquireBuffer gives the connection a read buffer if it has none.
func (c *conn) acquireBuffer() {
	if c.in == nil {
		c.in = c.s.buffer()[:]
	}
}

// releaseBuffer returns the read buffer to the pool and drops its content.
func (c *conn) releaseBuffer() {
	if len(c.in) == bufferSize {
		c.s.buffers.Put((*[bufferSize]byte)(c.in))
	}
	c.in, c.r, c.w = nil, 0, 0
}

// readMore waits for more of a header. The buffer grows up to the bound on headers.
func (c *conn) readMore() error {
	if c.started.IsZero() {
		c.started = time.Now()
		if c.response.served > 0 { // for the first request the deadline runs already
			_ = c.net.SetReadDeadline(after(c.s.fallback.ReadHeaderTimeout))
		}
	}
	if c.w == len(c.in) {
		c.growBuffer()
	}
	n, err := c.net.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// growBuffer moves the unused bytes to the buffer's start, or to a larger buffer.
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

// write writes all of p, which is not empty, and all of q. It sets a deadline only if the
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
	for _, part := range [][]byte{p, q} {
		unsent := part[min(c.sent, len(part)):]
		if _, err = c.net.Write(unsent); err != nil {
			return err
		}
		c.sent -= min(c.sent, len(part))
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
