//go:build linux

package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// body is the body of one request. Any goroutine may read it, as a transport does; reading
// ends when the handler returns.
type body struct {
	c *conn

	mu       sync.Mutex // held by Read
	detached bool
	err      error // why reading ended too early
}

func (b *body) Read(p []byte) (int, error) { return b.read(p, b.c.readBody) }

// ReadArrived reads as Read does, without waiting. It returns 0 without an error if nothing has
// arrived, and when the connection fails, which the next Read reports.
func (b *body) ReadArrived(p []byte) (int, error) { return b.read(p, b.c.readArrived) }

func (b *body) read(p []byte, read func([]byte) (int, error)) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.detached:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	}
	left := b.c.unread.Load()
	if left == 0 {
		return 0, io.EOF
	}
	n, err := read(p[:min(int64(len(p)), left)])
	switch left = b.c.unread.Add(-int64(n)); {
	case left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	return n, err
}

// Close ends reading by the handler. The connection discards the unread bytes later.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	return nil
}

// detach ends reading and returns how many bytes are unread, and the error after which they
// cannot be read. It interrupts a Read in another goroutine.
func (b *body) detach() (left int64, err error) {
	if !b.mu.TryLock() {
		_ = b.c.overrideReadDeadline(time.Unix(1, 0)) // a Read that starts now keeps it
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.detached = true
	return b.c.unread.Load(), b.err
}

// readBody reads bytes of the present request's body, for one goroutine at a time.
func (c *conn) readBody(p []byte) (int, error) {
	if c.r < c.w {
		return c.readArrived(p)
	}
	c.setBodyDeadline()
	return c.net.Read(p)
}

// readArrived reads what the buffer and the socket hold, without waiting. After a failure the
// next read fails, too.
func (c *conn) readArrived(p []byte) (n int, err error) {
	n = copy(p, c.in[c.r:c.w])
	c.r += n
	if n < len(p) {
		arrived, rest := 0, p[n:]
		_ = c.raw.Read(func(fd uintptr) bool {
			arrived, _ = nonblock.Read(fd, rest)
			return true
		})
		n += arrived
	}
	return n, nil
}

// setBodyDeadline sets the read deadline for the rest of the request, unless the handler or
// an earlier read has set one.
func (c *conn) setBodyDeadline() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.hasBodyDeadline {
		return
	}
	c.hasBodyDeadline = true
	if c.started.IsZero() {
		c.started = time.Now()
	}
	_ = c.net.SetReadDeadline(plus(c.started, c.s.fallback.ReadTimeout))
}

// overrideReadDeadline sets the read deadline for the rest of the request on behalf of the
// handler.
func (c *conn) overrideReadDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.hasBodyDeadline = true
	return c.net.SetReadDeadline(t)
}

// discard reads the bytes of a body that the handler did not read, after the response was
// sent. It reports whether all of them came.
func (c *conn) discard(left int64) bool {
	n := min(left, int64(c.w-c.r))
	c.r += int(n)
	left -= n
	if left == 0 {
		return true
	}
	c.setBodyDeadline()
	_, err := io.CopyN(io.Discard, c.net, left)
	return err == nil
}
