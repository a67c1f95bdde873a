//go:build linux

package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
)

// bufferSize holds nearly every request and most answers.
const bufferSize = 8 << 10

// The phases of a connection are numbers that grow: even ones while it waits for a
// request, odd ones while it has one.
const retired uint64 = 1<<64 - 1 // it will have none any more

func isBusy(phase uint64) bool { return phase%2 == 1 }

// socket is what can be served here.
type socket interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

// conn is one connection, served by one goroutine.
type conn struct {
	s        *Server
	watched  *framing.Conn
	net      socket // below it
	raw      syscall.RawConn
	phase    atomic.Uint64
	isListed atomic.Bool // the lookout knows of it
	isWhole  atomic.Bool // all of the present request has been read

	cancel  context.CancelFunc
	common  *http.Request // what all requests of the connection have in common
	request http.Request  // the present one, with its URL
	url     url.URL
	answer  response
	parser  parser
	place   any // see [response.Repeats]

	in      []byte // a buffer, nil while nothing is in it
	r, w    int    // in[r:w] was read from the socket and not used
	arrived func(fd uintptr) bool
	verdict verdict // what arrived found
	begun   *head   // of the present request, if that has not come whole

	out     []byte // what written is to write
	written func(fd uintptr) bool
	sent    int
	sentErr error

	accepted  time.Time // when the connection began
	limit     time.Time // when the wait for a request ends
	armed     time.Time // the read deadline that is set, if [conn.wait] may go by it
	started   time.Time // when the present request began to come, if it did not come at once
	wasPost   bool      // the request before was a POST
	lingers   bool      // the client still sends, and is to read its last answer
	deadline  sync.Mutex
	isCovered bool // the present request has its read deadline; under deadline
}

// newConn is nil when the connection is no socket.
func newConn(s *Server, watched *framing.Conn) *conn {
	socket, ok := watched.Conn.(socket)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	c := &conn{s: s, watched: watched, net: socket, raw: raw}
	c.arrived, c.written = c.turn, c.writeFirst
	ctx := context.WithValue(context.Background(), http.ServerContextKey, s.rest)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.net.LocalAddr())
	if s.rest.ConnContext != nil {
		ctx = s.rest.ConnContext(ctx, watched)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.common = (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.net.RemoteAddr().String(),
	}).WithContext(ctx)
	return c
}

// serve answers requests until the connection ends or is handed over.
func (c *conn) serve() {
	verdict := plain
	defer c.s.forget(c)
	defer func() { c.rescue(recover(), verdict) }()
	defer c.cancel()
	defer c.phase.Store(retired)
	c.accepted = time.Now()
	c.limit = plus(c.accepted, c.s.rest.ReadHeaderTimeout) // the first request has to come at once
	for verdict == plain {
		if verdict = c.wait(); verdict == unfinished {
			verdict = c.finish()
		}
	}
	if verdict == notPlain {
		c.handOver()
		return
	}
	if c.lingers {
		c.watched.Linger()
	}
	c.giveBack()
	_ = c.watched.Close()
}

// rescue keeps a fault to one connection, as net/http does: a panic, or a handler that
// ends its goroutine, of which the last verdict tells.
func (c *conn) rescue(reason any, last verdict) {
	if reason != nil {
		c.s.logf("panic on the connection of %s: %v\n%s", c.common.RemoteAddr, reason, debug.Stack())
	}
	if reason != nil || last == plain || last == unfinished {
		_ = c.watched.Close()
	}
}

// after returns the time at the end of d, or the zero time for 0 or less.
func after(d time.Duration) time.Time { return plus(time.Now(), d) }

// plus returns the end of d after start, or the zero time for 0 or less.
func plus(start time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return start.Add(d)
}

func (c *conn) arm(limit time.Time) {
	c.armed = limit
	_ = c.net.SetReadDeadline(limit)
}

// write writes all of p. Only a client that does not take it at once needs a
// deadline.
func (c *conn) write(p []byte) error {
	c.out, c.sent, c.sentErr = p, 0, nil
	err := c.raw.Write(c.written)
	c.out = nil
	if err == nil {
		err = c.sentErr
	}
	if err != nil || c.sent == len(p) {
		return err
	}
	_ = c.net.SetWriteDeadline(after(c.s.writeTimeout))
	if _, err = c.net.Write(p[c.sent:]); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// writeFirst writes what can be written without waiting, in the form that
// [syscall.RawConn] wants.
func (c *conn) writeFirst(fd uintptr) bool {
	n, err := syscall.Write(int(fd), c.out)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Write(int(fd), c.out)
	}
	if !errors.Is(err, syscall.EAGAIN) {
		c.sentErr = err
	}
	c.sent = max(n, 0)
	return true
}

// borrow takes a buffer if there is none.
func (c *conn) borrow() {
	if c.in != nil {
		return
	}
	c.in = c.s.buffer()[:]
}

// giveBack returns the buffer. What is in it is lost.
func (c *conn) giveBack() {
	if len(c.in) == bufferSize {
		c.s.buffers.Put((*[bufferSize]byte)(c.in))
	}
	c.in, c.r, c.w = nil, 0, 0
}

func (s *Server) buffer() *[bufferSize]byte {
	if b, ok := s.buffers.Get().(*[bufferSize]byte); ok {
		return b
	}
	return new([bufferSize]byte)
}

func (c *conn) parse(end int) (*head, verdict) {
	if end-c.r > c.s.rest.MaxHeaderBytes {
		return nil, notPlain
	}
	h := c.parser.parse(c.in[c.r:end])
	if h == nil {
		return nil, notPlain
	}
	c.r = end
	return h, plain
}

// more reads more of a header. The buffer grows as far as a header may.
func (c *conn) more() error {
	if c.started.IsZero() {
		c.started = time.Now()
		if c.answer.served > 0 { // or the first deadline goes on
			_ = c.net.SetReadDeadline(after(c.s.rest.ReadHeaderTimeout))
		}
	}
	if c.w == len(c.in) {
		c.makeRoom()
	}
	n, err := c.net.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

func (c *conn) makeRoom() {
	old, r, w := c.in, c.r, c.w
	if r == 0 {
		c.in = make([]byte, min(4*len(old), c.s.rest.MaxHeaderBytes+1))
	}
	n := copy(c.in, old[r:w])
	if r == 0 && len(old) == bufferSize {
		c.s.buffers.Put((*[bufferSize]byte)(old))
	}
	c.r, c.w = 0, n
}

// began returns when the request began that the connection is reading or waiting for:
// the first one with the connection itself, as net/http counts.
func (c *conn) began() time.Time {
	switch {
	case c.answer.served == 0:
		return c.accepted
	case !c.started.IsZero():
		return c.started
	default: // it has just come
		return time.Now()
	}
}

// handOver gives the connection to net/http, with what was read and not used. The
// timeouts of the request go on.
func (c *conn) handOver() {
	unused := c.in[c.r:c.w]
	if c.wasPost {
		// net/http forgives line ends behind the body of a POST, which old clients
		// send. To it this is the connection's first request.
		for i := 0; i < 4 && len(unused) > 0 && (unused[0] == '\r' || unused[0] == '\n'); i++ {
			unused = unused[1:]
		}
	}
	began, rest := c.began(), c.s.rest
	c.watched.Unread(unused, plus(began, cmp.Or(rest.ReadHeaderTimeout, rest.ReadTimeout)), plus(began, rest.ReadTimeout))
	c.giveBack()
	_ = c.net.SetReadDeadline(time.Time{})
	c.s.handoff.give(c.watched)
}

// handle has one request answered and reports whether another may follow.
func (c *conn) handle(h *head) bool {
	r, b := c.newRequest(h)
	w := &c.answer
	w.reset(c, h.method)
	c.isWhole.Store(b.left == 0)
	ok := c.call(w, r)
	left, err := b.detach()
	c.request, c.url = http.Request{}, url.URL{} // they may be large
	c.wasPost = h.method == http.MethodPost
	if !ok || !w.finish() {
		return false
	}
	if w.closing || err != nil {
		c.lingers = left > 0
		return false
	}
	return c.discard(left)
}

// newRequest makes the connection's request anew. Only a body is never used again:
// a transport may try to read it when its request is long over.
func (c *conn) newRequest(h *head) (*http.Request, *body) {
	r, b := &c.request, &body{c: c, left: max(h.length, 0)}
	*r, c.url = *c.common, h.url
	r.Method, r.RequestURI, r.URL, r.Host, r.Header = h.method, h.target, &c.url, h.host, h.header
	r.Body = http.NoBody
	if h.length > 0 {
		r.Body, r.ContentLength = b, h.length
	}
	return r, b
}

// call calls the handler. After a panic the connection is of no use.
func (c *conn) call(w *response, r *http.Request) (ok bool) {
	defer func() {
		reason := recover()
		if ok {
			return
		}
		if err, is := reason.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
			c.s.logf("panic serving %s: %v\n%s", r.RemoteAddr, reason, debug.Stack())
		}
		w.drop()
	}()
	c.s.rest.Handler.ServeHTTP(w, r)
	return true
}

// readBody reads bytes of the present request's body: one goroutine at a time.
func (c *conn) readBody(p []byte) (int, error) {
	if c.r < c.w {
		n := copy(p, c.in[c.r:c.w])
		c.r += n
		return n, nil
	}
	c.cover()
	return c.net.Read(p)
}

// cover sets the deadline for the rest of the request, unless somebody else has.
func (c *conn) cover() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.isCovered {
		return
	}
	c.isCovered = true
	if c.started.IsZero() {
		c.started = time.Now()
	}
	var end time.Time
	if d := c.s.rest.ReadTimeout; d > 0 {
		end = c.started.Add(d)
	}
	_ = c.net.SetReadDeadline(end)
}

// setReadDeadline stands for the rest of the request.
func (c *conn) setReadDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.isCovered = true
	return c.net.SetReadDeadline(t)
}

// discard reads what a handler left of a body; the answer is out already.
func (c *conn) discard(left int64) bool {
	n := min(left, int64(c.w-c.r))
	c.r += int(n)
	left -= n
	if left == 0 {
		return true
	}
	c.cover()
	_, err := io.CopyN(io.Discard, c.net, left)
	return err == nil
}
