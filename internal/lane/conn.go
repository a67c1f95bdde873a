package lane

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/wire"
)

// bufferSize holds nearly every request and most answers.
const bufferSize = 8 << 10

// The states of a connection.
const (
	idle    int32 = iota // waits for a request, and may be closed
	busy                 // has read at least a byte of one
	retired              // closed while idle
)

// conn is one connection, served by one goroutine.
type conn struct {
	s       *Server
	watched *wire.Conn
	net     net.Conn // the socket below it
	raw     syscall.RawConn
	state   atomic.Int32

	cancel  context.CancelFunc
	common  *http.Request // what all requests of the connection have in common
	request http.Request  // the present one, with its URL
	url     url.URL
	answer  response
	parser  parser

	in      []byte // a buffer, nil while nothing is in it
	r, w    int    // in[r:w] was read from the socket and not used
	arrived func(fd uintptr) bool
	readErr error // what arrived found

	out     []byte // what written is to write
	written func(fd uintptr) bool
	sent    int
	sentErr error

	armed     time.Time // the read deadline that is set, if [conn.await] may go by it
	started   time.Time // when the present request began to come, if it did not come at once
	wasPost   bool      // the request before was a POST
	hangup    hangup
	place     any // see [response.Repeats]
	deadline  sync.Mutex
	isCovered bool // the present request has its read deadline; under deadline
}

// newConn is nil when the connection is no socket.
func newConn(s *Server, watched *wire.Conn) *conn {
	socket, ok := watched.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	c := &conn{s: s, watched: watched, net: watched.Conn, raw: raw}
	c.arrived, c.written = c.readFirst, c.writeFirst
	ctx := context.WithValue(context.Background(), http.ServerContextKey, s.rest)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.net.LocalAddr())
	if s.rest.ConnContext != nil {
		ctx = s.rest.ConnContext(ctx, watched)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.common = (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.net.RemoteAddr().String(),
	}).WithContext(ctx)
	c.hangup.c = c
	return c
}

// serve answers requests until the connection ends or is handed over.
func (c *conn) serve() {
	defer c.s.forget(c)
	defer c.rescue()
	defer c.cancel()
	defer c.hangup.unwatch()
	limit := after(c.s.rest.ReadHeaderTimeout) // the first request has to come at once
	for {
		if !c.next(limit) {
			c.giveBack()
			_ = c.watched.Close()
			return
		}
		h, verdict := c.readHead()
		if verdict == plain && c.handle(h) && !c.s.closed.Load() {
			c.idle()
			limit = after(c.s.rest.IdleTimeout)
			continue
		}
		if verdict == notPlain {
			c.handOver()
			return
		}
		c.giveBack()
		_ = c.watched.Close()
		return
	}
}

// rescue keeps a fault to one connection, as net/http does.
func (c *conn) rescue() {
	if reason := recover(); reason != nil {
		c.s.logf("panic on the connection of %s: %v\n%s", c.common.RemoteAddr, reason, debug.Stack())
		_ = c.watched.Close()
	}
}

// after is the time at the end of d; 0 or less has no end.
func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// next waits for the first bytes of a request until the limit.
func (c *conn) next(limit time.Time) bool {
	if c.r == c.w && c.await(limit) != nil {
		return false
	}
	return c.state.CompareAndSwap(idle, busy)
}

// await reads the first bytes. While it waits, the connection holds no buffer.
// Setting a deadline costs as much as a read, so one that was set for an earlier
// request stays until it has passed, unless it is too late.
func (c *conn) await(limit time.Time) error {
	if c.armed.IsZero() || !limit.IsZero() && limit.Before(c.armed) {
		c.arm(limit)
	}
	for {
		err := c.raw.Read(c.arrived)
		if err == nil {
			return c.readErr
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !limit.IsZero() && !time.Now().Before(limit) {
			return err
		}
		c.arm(limit)
	}
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

// readFirst reads into a fresh buffer. It has the form that [syscall.RawConn]
// wants: false says that nothing was there.
func (c *conn) readFirst(fd uintptr) bool {
	c.borrow()
	n, err := syscall.Read(int(fd), c.in)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), c.in)
	}
	if errors.Is(err, syscall.EAGAIN) {
		c.giveBack()
		return false
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	c.r, c.w, c.readErr = 0, max(n, 0), err
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
	c.state.Store(idle)
}

// closeIdle closes the connection unless a request has begun.
func (c *conn) closeIdle() bool {
	if !c.state.CompareAndSwap(idle, retired) {
		return false
	}
	_ = c.net.Close()
	return true
}

// verdict is what becomes of a request whose header was to be read.
type verdict int

const (
	plain verdict = iota
	notPlain
	gone // the connection ended, or the header took too long
)

// readHead reads the header of the request that has begun to come. What it says
// is valid until the next call.
func (c *conn) readHead() (*head, verdict) {
	if !c.begun() {
		return nil, gone
	}
	if size := c.parser.repeats(c.in[c.r:c.w]); size > 0 {
		c.r += size
		return &c.parser.head, plain
	}
	seen := 0
	for {
		// What stands before c.r is the request before, and nothing to look at.
		end, ok := endOfHead(c.in[c.r:c.w], seen)
		if !ok {
			return nil, notPlain
		}
		if end > 0 {
			return c.parse(c.r + end)
		}
		seen = c.w - c.r
		if seen > c.s.rest.MaxHeaderBytes {
			return nil, notPlain // net/http has an answer for that
		}
		if err := c.more(); errors.Is(err, io.EOF) {
			return nil, notPlain // for that, too
		} else if err != nil {
			return nil, gone
		}
	}
}

// begun waits for as many bytes of a second or later request as net/http does
// before it takes them for one: fewer and the end are nothing.
func (c *conn) begun() bool {
	for c.answer.served > 0 && c.w-c.r < 4 {
		if c.more() != nil {
			return false
		}
	}
	return true
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

// handOver gives the connection to net/http, with what was read and not used.
func (c *conn) handOver() {
	unused := c.in[c.r:c.w]
	if c.wasPost {
		// net/http forgives line ends behind the body of a POST, which old clients
		// send. To it this is the connection's first request.
		for i := 0; i < 4 && len(unused) > 0 && (unused[0] == '\r' || unused[0] == '\n'); i++ {
			unused = unused[1:]
		}
	}
	c.watched.Unread(unused)
	c.giveBack()
	_ = c.net.SetReadDeadline(time.Time{})
	c.s.handoff.give(c.watched)
}

// handle has one request answered and reports whether another may follow.
func (c *conn) handle(h *head) bool {
	r, b := c.newRequest(h)
	w := &c.answer
	w.reset(c, h.method)
	c.hangup.watch(b)
	ok := c.call(w, r)
	c.hangup.unwatch()
	left, err := b.detach()
	c.request, c.url = http.Request{}, url.URL{} // they may be large
	c.wasPost = h.method == http.MethodPost
	if !ok || !w.finish() {
		return false
	}
	if w.closing || err != nil {
		if left > 0 {
			c.watched.Linger()
		}
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
