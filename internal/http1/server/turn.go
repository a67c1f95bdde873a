//go:build linux

package server

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// verdict is what becomes of a connection.
type verdict int

const (
	plain      verdict = iota // another request may come
	unfinished                // one has begun, and the rest has to be waited for
	notPlain                  // it is net/http's
	gone                      // it has ended, or came too slowly, or ends here
)

// wait waits for requests and answers those that come whole, as nearly all do. All
// that happens in [conn.turn]: between two calls of it the socket is not read, so
// whatever comes wakes it, and nobody has to try first whether there is something.
// But the end of the stream wakes it only once: where that came together with a
// request, the lookout finds it, as it finds what a read has left: see [conn.rouse].
func (c *conn) wait() verdict {
	if verdict := c.answerWhole(); verdict != plain {
		return verdict
	}
	for {
		c.rearm()
		err := c.raw.Read(c.arrived)
		switch {
		case err == nil:
			return c.verdict
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.isLate():
			return gone
		}
		c.arm(c.limit)
	}
}

// rearm sets the deadline. That costs as much as a read, so one that was set for an
// earlier request stays until it has passed, unless it is too late.
func (c *conn) rearm() {
	if c.armed.IsZero() || !c.limit.IsZero() && c.limit.Before(c.armed) {
		c.arm(c.limit)
	}
}

func (c *conn) isLate() bool { return !c.limit.IsZero() && !time.Now().Before(c.limit) }

// turn reads what is there and answers what is whole of it. It has the form that
// [syscall.RawConn] wants: false waits for more. Meanwhile nobody else can read from
// the socket, or close it.
func (c *conn) turn(fd uintptr) bool {
	for {
		n, err := c.read(fd)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			c.giveBack()
			return false
		case err != nil:
			c.verdict = gone
			return true
		}
		isFull := n == len(c.in)
		c.r, c.w = 0, n
		if c.verdict = c.answerWhole(); c.verdict != plain {
			return true
		}
		if c.rearm(); !isFull { // more than was there could not be read
			return false
		}
	}
}

// read reads into a fresh buffer. While a connection waits, it has none.
func (c *conn) read(fd uintptr) (int, error) {
	c.borrow()
	n, err := syscall.Read(int(fd), c.in)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), c.in)
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// answerWhole answers the requests that are whole in the buffer.
func (c *conn) answerWhole() verdict {
	for c.r < c.w {
		if !c.begin() {
			return gone
		}
		h, verdict := c.readHead(0)
		if verdict != plain {
			return verdict
		}
		if h.length > int64(c.w-c.r) {
			c.begun = h
			return unfinished
		}
		if !c.handle(h) || c.s.closed.Load() {
			return gone
		}
		c.idle()
	}
	return plain
}

// finish waits for the rest of a request and answers it.
func (c *conn) finish() (verdict verdict) {
	h := c.begun
	c.begun = nil
	for seen := 0; h == nil; {
		if h, verdict = c.readHead(seen); verdict == unfinished {
			seen, verdict = c.looked(), c.awaitHead()
		}
		if verdict != plain {
			return verdict
		}
	}
	if !c.handle(h) || c.s.closed.Load() {
		return gone
	}
	c.idle()
	return plain
}

// begin says that a request has begun, unless the connection was closed while it
// waited for one.
func (c *conn) begin() bool {
	c.isWhole.Store(false)
	phase := c.phase.Load()
	if phase == retired || !c.phase.CompareAndSwap(phase, phase+1) {
		return false
	}
	c.show()
	return true
}

// idle makes the connection ready to wait for the next request.
func (c *conn) idle() {
	if c.r == c.w {
		c.giveBack()
	}
	c.deadline.Lock()
	if c.isCovered || !c.started.IsZero() {
		c.armed = time.Time{} // another deadline is set, or none
	}
	c.isCovered = false
	c.deadline.Unlock()
	c.started = time.Time{}
	c.limit = after(c.s.rest.IdleTimeout)
	c.phase.Add(1)
}

// closeIdle closes the connection unless a request has begun.
func (c *conn) closeIdle() bool {
	phase := c.phase.Load()
	if isBusy(phase) || !c.phase.CompareAndSwap(phase, retired) {
		return false
	}
	_ = c.net.Close()
	return true
}

// cut ends a connection whatever it does, and its request's context with it. The socket
// itself is closed when the request is done with: see [conn.turn].
func (c *conn) cut() {
	_, _ = c.net.CloseRead(), c.net.CloseWrite()
	c.cancel()
}

// readHead reads the header of the request that has begun, of which the first seen
// bytes were looked at before. What it says is valid until the next call.
func (c *conn) readHead(seen int) (*head, verdict) {
	// What stands before c.r is the request before, and nothing to look at.
	have := c.in[c.r:c.w]
	if c.isShort() {
		return nil, unfinished
	}
	if size := c.parser.repeats(have); size > 0 {
		c.r += size
		return &c.parser.head, plain
	}
	end, ok := endOfHead(have, seen)
	switch {
	case !ok, end == 0 && len(have) > c.s.rest.MaxHeaderBytes: // net/http has an answer for that
		return nil, notPlain
	case end == 0:
		return nil, unfinished
	}
	return c.parse(c.r + end)
}

// isShort: of a second or later request net/http takes so few bytes, and then the end,
// for nothing.
func (c *conn) isShort() bool { return c.answer.served > 0 && c.w-c.r < 4 }

// looked is how many bytes [conn.readHead] has looked at in vain.
func (c *conn) looked() int {
	if c.isShort() {
		return 0
	}
	return c.w - c.r
}

// awaitHead reads more of a header: plain if there is more.
func (c *conn) awaitHead() verdict {
	isShort := c.isShort()
	switch err := c.more(); {
	case err == nil:
		return plain
	case errors.Is(err, io.EOF) && !isShort:
		return notPlain // net/http has an answer for that, too
	default:
		return gone
	}
}
