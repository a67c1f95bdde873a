package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// errUnanswered says that a connection ended before a byte of an answer came.
var errUnanswered = errors.New("the connection ended before an answer")

// past is a deadline that ends every wait.
func past() time.Time { return time.Unix(1, 0) }

// conn is one connection to the upstream. One request at a time owns it.
type conn struct {
	net  net.Conn
	raw  syscall.RawConn // nil when the connection cannot be peeked at
	pool *pool

	buf        []byte // what was read: buf[start:end]
	start, end int
	maxHeader  int
	idleSince  time.Time
}

func newConn(nc net.Conn, p *pool, maxHeader int) *conn {
	cn := &conn{net: nc, pool: p, buf: make([]byte, 4<<10), maxHeader: maxHeader}
	if sc, ok := nc.(syscall.Conn); ok {
		cn.raw, _ = sc.SyscallConn()
	}
	return cn
}

func (cn *conn) close() { _ = cn.net.Close() }

// release keeps a connection on which nothing is left to read.
func (cn *conn) release() {
	if cn.start != cn.end {
		cn.close() // bytes that nobody asked for: the next answer would be wrong
		return
	}
	cn.pool.put(cn)
}

// alive looks whether the connection is still open and silent. It takes no
// bytes: a closed connection reads as its end, and one on which bytes wait has
// said something that nobody asked for.
func (cn *conn) alive() bool {
	if cn.raw == nil {
		return false
	}
	silent, err := cn.peek()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The deadline of the request before, which came to its end in time.
		_ = cn.net.SetDeadline(time.Time{})
		silent, err = cn.peek()
	}
	return err == nil && silent
}

func (cn *conn) peek() (silent bool, err error) {
	err = cn.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return silent, err
}

// exchange writes the message and reads the header of the answer. After an error
// the connection is of no use.
func (cn *conn) exchange(r *http.Request, message []byte, timeout time.Duration) (*http.Response, error) {
	if err := cn.net.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := cn.cancelWith(r.Context())
	a, err := cn.converse(message)
	if err != nil {
		stop()
		return nil, err
	}
	return cn.response(r, a, stop), nil
}

// cancelWith ends every wait on the connection when ctx is done, until stop is
// called; stop reports whether that has not happened.
func (cn *conn) cancelWith(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { _ = cn.net.SetDeadline(past()) })
}

// unanswered marks the end of a connection that gave no answer. A wait that was
// too long or given up is not one.
func unanswered(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", errUnanswered, err)
}

// converse writes the message and reads headers up to the final one.
func (cn *conn) converse(message []byte) (answer, error) {
	if _, err := cn.net.Write(message); err != nil {
		return answer{}, unanswered(err)
	}
	const maxInformational = 16
	for i := range maxInformational {
		head, err := cn.readHead()
		switch {
		case err != nil && i == 0 && cn.start == cn.end:
			return answer{}, unanswered(err)
		case err != nil:
			return answer{}, unexpected(err)
		}
		a, err := parseHead(head)
		if err != nil {
			return answer{}, err
		}
		if a.status == http.StatusSwitchingProtocols {
			return answer{}, errors.New("want an answer in HTTP/1.1, found 101")
		}
		if a.status >= http.StatusOK {
			return a, nil
		}
	}
	return answer{}, errors.New("want a final answer, found 1xx only")
}

// response makes the answer's body from its framing. stop is called at its end.
func (cn *conn) response(r *http.Request, a answer, stop func() bool) *http.Response {
	res := &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Request: r, ContentLength: a.length,
	}
	if r.Method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		a.length, a.chunked = 0, false
	}
	b := &body{cn: cn, keep: a.keep, stop: stop}
	switch {
	case a.chunked:
		res.ContentLength = -1
		cn.unhurry(r.Context())
		b.next = cn.chunked()
	case a.length > 0:
		if int64(cn.end-cn.start) < a.length {
			cn.unhurry(r.Context())
		}
		b.next = cn.counted(a.length)
	case a.length == 0:
		b.end(io.EOF)
	default:
		cn.unhurry(r.Context())
		b.keep, b.next = false, cn.untilClose
	}
	res.Body = b
	return res
}

// unhurry takes the deadline of the header off: a body may take its time. A
// context that is done meanwhile must not lose its say: either it is seen here,
// or what [conn.cancelWith] does comes after.
func (cn *conn) unhurry(ctx context.Context) {
	_ = cn.net.SetDeadline(time.Time{})
	if ctx.Err() != nil {
		_ = cn.net.SetDeadline(past())
	}
}

// finish gives the connection back, or ends it.
func (cn *conn) finish(keep bool) {
	if keep {
		cn.release()
		return
	}
	cn.close()
}

// fill reads more into the buffer, which grows up to limit.
func (cn *conn) fill(limit int) error {
	if cn.start > 0 && cn.start == cn.end {
		cn.start, cn.end = 0, 0
	}
	if cn.end == len(cn.buf) {
		if err := cn.makeRoom(limit); err != nil {
			return err
		}
	}
	n, err := cn.net.Read(cn.buf[cn.end:])
	cn.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (cn *conn) makeRoom(limit int) error {
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
