//go:build linux

package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
	"github.com/certgate/certgate/internal/http1/syntax"
)

// step is the next action of a connection's goroutine.
type step int

const (
	stepNext    step = iota // serve the next request
	stepRest                // read the rest of a request that has begun
	stepHandOff             // give the connection to net/http
	stepClose               // close the connection
	stepFail                // close it: a panic or runtime.Goexit ended the worker's call
)

// serveRequests waits for requests and serves those that arrive whole, as nearly all do.
// All of it happens in [conn.onReadable]: nothing else reads the socket between two calls,
// so new data always raises a readiness event, and no read is needed to find out that
// there is none. Two cases raise no event, and the monitor finds both: an end of the stream
// that arrived together with a request, and bytes that a read did not return ([conn.wake]).
func (c *conn) serveRequests() step {
	if c.next = c.serveBuffered(); c.next != stepNext {
		return c.next
	}
	for {
		c.refreshDeadline()
		err := c.raw.Read(c.readable)
		c.await()
		isOverdue := !c.waitUntil.IsZero() && !time.Now().Before(c.waitUntil)
		switch {
		case c.next != stepNext:
			_ = c.net.SetReadDeadline(c.armedUntil) // a worker may have changed it
			return c.next
		case !errors.Is(err, os.ErrDeadlineExceeded) || isOverdue:
			return stepClose
		}
		c.armedUntil = time.Time{} // it has passed
	}
}

// refreshDeadline sets the deadline of the wait for a request. That costs as much as a
// read, so the deadline of an earlier request stays until it has passed, unless it is later
// than it should be.
func (c *conn) refreshDeadline() {
	if c.armedUntil.IsZero() || !c.waitUntil.IsZero() && c.waitUntil.Before(c.armedUntil) {
		c.armedUntil = c.waitUntil
		_ = c.net.SetReadDeadline(c.waitUntil)
	}
}

// onReadable reads what the socket holds and lets a worker serve the requests that are whole. It
// has the signature that [syscall.RawConn] expects: false waits for more. While it runs or waits,
// no other goroutine can read from the socket, and the descriptor stays open.
func (c *conn) onReadable(fd uintptr) bool {
	for {
		if c.await(); c.next != stepNext {
			return true
		}
		if c.in == nil { // a waiting connection holds no buffer
			c.in = c.s.buffer()[:]
		}
		n, err := nonblock.Read(fd, c.in)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			c.releaseBuffer()
			return false
		case err != nil || n == 0:
			c.next = stepClose
			return true
		}
		isFull := n == len(c.in)
		c.r, c.w = 0, n
		if c.s.workers.serve(c); !isFull { // the read has emptied the socket
			return false
		}
	}
}

// serveBuffered serves the requests that are whole in the buffer.
func (c *conn) serveBuffered() step {
	for c.r < c.w {
		if !c.startRequest() {
			return stepClose
		}
		c.lines = syntax.Scanner{}
		h, next := c.readHead()
		if next != stepNext {
			return next
		}
		if h.request.ContentLength > int64(c.w-c.r) {
			c.partial = h
			return stepRest
		}
		if next = c.serveRequest(h); next != stepNext {
			return next
		}
	}
	return stepNext
}

// serveRest reads the rest of a request and serves it.
func (c *conn) serveRest() (next step) {
	h := c.partial
	c.partial = nil
	for h == nil {
		if h, next = c.readHead(); next == stepRest {
			next = c.readMore()
		}
		if next != stepNext {
			return next
		}
	}
	return c.serveRequest(h)
}

// serveRequest calls the handler, writes the response, and makes the connection ready for the next
// request if it can carry one.
func (c *conn) serveRequest(h *head) step {
	w, r, b := &c.response, &h.request, &h.body
	if b.c = c; r.ContentLength > 0 {
		r.Body = b
	}
	w.reset(c, r.Method)
	c.wasPost = r.Method == http.MethodPost
	c.unread.Store(r.ContentLength)
	c.s.fallback.Handler.ServeHTTP(w, r)
	left, err := b.detach()
	if w.reusable {
		c.s.heads.Put(h)
	}
	switch {
	case !w.finish():
		return stepClose
	case w.closing || err != nil:
		c.lingers = left > 0
		return stepClose
	case !c.discard(left) || c.s.closed.Load():
		return stepClose
	}
	c.endRequest()
	return stepNext
}

// startRequest marks the connection busy, and adds it to the monitor unless it is there. It
// returns false if the connection was closed while it waited for a request.
func (c *conn) startRequest() bool {
	c.unread.Store(1)
	phase := c.phase.Load()
	if phase == retired || !c.phase.CompareAndSwap(phase, phase+1) {
		return false
	}
	if !c.isRegistered.Load() && c.isRegistered.CompareAndSwap(false, true) {
		c.s.monitor.add(c)
	}
	return true
}

// endRequest makes the connection ready to wait for the next request.
func (c *conn) endRequest() {
	if c.r == c.w {
		c.releaseBuffer()
	}
	c.deadline.Lock()
	if c.hasBodyDeadline || !c.started.IsZero() {
		c.armedUntil = time.Time{} // another deadline is set, or none
	}
	c.hasBodyDeadline = false
	c.deadline.Unlock()
	c.started = time.Time{}
	c.waitUntil = after(c.s.fallback.IdleTimeout)
	c.phase.Add(1)
}

// closeIdle closes the connection unless it is busy with a request, and reports whether it
// has.
func (c *conn) closeIdle() bool {
	phase := c.phase.Load()
	if isBusy(phase) || !c.phase.CompareAndSwap(phase, retired) {
		return false
	}
	_ = c.net.Close()
	return true
}

// abort ends the connection and the context of its request, whatever the connection does.
// It shuts the socket down; the connection's own goroutine closes it, because Close would
// wait for a running [conn.onReadable].
func (c *conn) abort() {
	_, _ = c.net.CloseRead(), c.net.CloseWrite()
	c.cancel()
}

// readHead parses the header of the request that has begun, or returns stepRest while it is
// incomplete.
func (c *conn) readHead() (*head, step) {
	have := c.in[c.r:c.w]
	if c.isTooShort() {
		return nil, stepRest
	}
	size, ok := c.lines.Head(have)
	switch {
	case !ok, size == 0 && len(have) > c.s.fallback.MaxHeaderBytes, size > c.s.fallback.MaxHeaderBytes:
		return nil, stepHandOff // net/http has an error response for it
	case size == 0:
		return nil, stepRest
	}
	h, ok := c.s.heads.Get().(*head)
	if !ok { // the pool is empty
		h = new(head)
	}
	h = parseHead(h, have[:size], c.lines.Longest, c.s.Intern, c.template)
	if h == nil {
		return nil, stepHandOff
	}
	c.r += size
	return h, stepNext
}

// minHead is how many bytes of a second or later request net/http needs before it parses them.
const minHead = 4

// isTooShort reports whether net/http would ignore an end of the stream here.
func (c *conn) isTooShort() bool { return c.response.served > 0 && c.w-c.r < minHead }

// readMore waits for more of a header. It returns stepNext if there was more.
func (c *conn) readMore() step {
	if c.started.IsZero() {
		c.started = time.Now()
		_ = c.net.SetReadDeadline(plus(c.started, c.s.fallback.ReadHeaderTimeout))
	}
	if c.w == len(c.in) {
		c.growBuffer()
	}
	n, err := c.net.Read(c.in[c.w:])
	c.w += n
	switch {
	case n > 0:
		return stepNext
	case errors.Is(err, io.EOF) && !c.isTooShort():
		return stepHandOff // net/http has an error response for this, too
	default:
		return stepClose
	}
}
