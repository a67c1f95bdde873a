//go:build linux

package server

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/syntax"
)

// A connection's phase is a number that grows: even while it waits for a request, odd while
// it has one.
const retired uint64 = 1<<64 - 1 // it accepts no more requests

func isBusy(phase uint64) bool { return phase%2 == 1 }

// socket is a connection that the fast path can serve.
type socket interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

// conn is one connection. Its goroutine waits and reads, and a worker serves what has arrived. Only one
// of them uses the connection at a time: see [conn.await].
type conn struct {
	s            *Server
	watched      *framing.Conn
	net          socket // below it
	raw          syscall.RawConn
	phase        atomic.Uint64
	isRegistered atomic.Bool  // with the monitor
	unread       atomic.Int64 // bytes of the present request's body; not 0 while its header is read

	cancel   context.CancelFunc
	template *http.Request // the fields that all requests of the connection share
	response response

	in       []byte // the read buffer, nil while it is empty
	r, w     int    // in[r:w] was read from the socket and not used
	readable func(fd uintptr) bool
	lines    syntax.Scanner // of the present request's header
	next     step           // the result of readable or of a worker
	partial  *head          // of the present request, while its body is incomplete
	turn     atomic.Uint32  // who may use the connection
	served   chan struct{}  // a worker that was awaited is done

	out      [2][]byte // what writeOnce writes
	writable func(fd uintptr) bool
	sent     int
	sentErr  error

	waitUntil  time.Time // when the wait for a request ends
	armedUntil time.Time // the read deadline, while it is one of a wait for a request
	started    time.Time // when the present request began; zero if it arrived at once, and is not the first
	wasPost    bool      // the previous request was a POST
	lingers    bool      // the client still sends, and needs time to read its last response

	deadline        sync.Mutex
	hasBodyDeadline bool // the read deadline is the present request's; under deadline
}

// newConn returns nil when nc is not a [*framing.Conn] of a socket.
func newConn(s *Server, nc net.Conn) *conn {
	watched, ok := nc.(*framing.Conn)
	if !ok {
		return nil
	}
	socket, ok := watched.Conn.(socket)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	c := &conn{s: s, watched: watched, net: socket, raw: raw, served: make(chan struct{}, 1)}
	c.readable, c.writable = c.onReadable, c.writeOnce
	ctx := context.WithValue(context.Background(), http.ServerContextKey, s.fallback)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.net.LocalAddr())
	if s.fallback.ConnContext != nil {
		ctx = s.fallback.ConnContext(ctx, watched)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.template = (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.net.RemoteAddr().String(),
	}).WithContext(ctx)
	return c
}

// serve serves requests until the connection ends or goes to net/http.
func (c *conn) serve() {
	next := stepNext
	defer func() {
		c.logPanic(recover())
		c.end(next)
	}()
	c.started = time.Now() // as in net/http, the first request begins with the connection
	c.waitUntil = plus(c.started, c.s.fallback.ReadHeaderTimeout)
	for next == stepNext {
		if next = c.serveRequests(); next == stepRest {
			next = c.serveRest()
		}
	}
}

// end closes the connection or gives it to net/http. After a panic, or when a handler has ended its
// goroutine, the last step is neither stepHandOff nor stepClose. The body may still be read then, so
// the read buffer does not return to the pool.
func (c *conn) end(last step) {
	defer c.s.untrack(c)
	c.phase.Store(retired)
	c.cancel()
	switch last {
	case stepHandOff:
		c.handOff()
		return
	case stepClose:
		if c.lingers {
			c.watched.Linger()
		}
		c.releaseBuffer()
	}
	_ = c.watched.Close()
}

// logPanic logs the reason of a panic, unless it is nil or the handler only aborts the response.
// As in net/http, a panic ends one connection.
func (c *conn) logPanic(reason any) {
	err, _ := reason.(error)
	if reason != nil && !errors.Is(err, http.ErrAbortHandler) {
		c.s.logf("panic serving %s: %v\n%s", c.template.RemoteAddr, reason, debug.Stack())
	}
}

// after returns the time d from now, or the zero time if d is not positive.
func after(d time.Duration) time.Time { return plus(time.Now(), d) }

// plus returns start + d, or the zero time if d is not positive.
func plus(start time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return start.Add(d)
}

// handOff gives the connection to net/http, with the bytes that were read and not used.
// The timeouts of the request continue.
func (c *conn) handOff() {
	unused := c.in[c.r:c.w]
	if c.wasPost {
		// net/http skips up to four bytes of line ends after the body of a POST, which old
		// clients send. To net/http this request is the connection's first.
		for i := 0; i < 4 && len(unused) > 0 && (unused[0] == '\r' || unused[0] == '\n'); i++ {
			unused = unused[1:]
		}
	}
	start, s := cmp.Or(c.started, time.Now()), c.s.fallback
	c.watched.Unread(unused, plus(start, cmp.Or(s.ReadHeaderTimeout, s.ReadTimeout)), plus(start, s.ReadTimeout))
	c.releaseBuffer()
	_ = c.net.SetReadDeadline(time.Time{})
	c.s.handoff.give(c.watched)
}
