//go:build linux

package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// body is the body of one request. Reads are safe from another goroutine than
// the handler's, as a transport does; they end when the handler returns.
type body struct {
	c *conn

	mu       sync.Mutex // held by Read
	left     int64
	detached bool
	err      error // why reading ended too early
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.detached:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	}
	n, err := b.c.readBody(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && b.left > 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		b.err = err
		return n, err
	}
	if b.left == 0 {
		b.c.isWhole.Store(true)
		return n, io.EOF
	}
	return n, nil
}

// Close ends the handler's reading: what is not read is the connection's
// business.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	return nil
}

// detach takes the body from the handler and says how much of it is unread, or
// that the rest cannot be had. A Read that is under way is ended.
func (b *body) detach() (left int64, err error) {
	if !b.mu.TryLock() {
		_ = b.c.setReadDeadline(time.Unix(1, 0)) // which a Read that begins leaves alone
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.detached = true
	return b.left, b.err
}
