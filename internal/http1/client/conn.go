package client

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
	options *Options
	net     net.Conn
	raw     syscall.RawConn
	pool    *pool
	talk    talk
	step    func(fd uintptr) bool // talk's
	watch   watch
	armed   time.Time // until when the connection's deadline is far enough away

	buf        []byte // what was read: buf[start:end]
	start, end int
	idleSince  time.Time
}

func newConn(nc net.Conn, c *Client) (*conn, error) {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("want a socket, found %T", nc)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	cn := &conn{options: &c.options, net: nc, raw: raw, pool: &c.pool, buf: make([]byte, 4<<10)}
	cn.step = cn.talk.step
	return cn, nil
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

// errStale says that a kept connection was closed, or has said something that
// nobody asked for. Nothing was sent on it.
var errStale = errors.New("the kept connection is of no use")

// talk is one question and the first bytes of its answer.
type talk struct {
	cn      *conn
	message []byte
	looked  bool
	sent    int
	err     error
}

// step looks, writes and then reads, as far as it can without waiting: false asks
// to be called again when there is something to read. Since nothing was there
// before the write, there is no need to try a read behind it.
func (k *talk) step(fd uintptr) bool {
	if k.looked {
		return k.read(fd)
	}
	k.looked = true
	if !Silent(fd) {
		k.err = errStale
		return true
	}
	k.sent, k.err = writeSocket(fd, k.message)
	if errors.Is(k.err, syscall.EAGAIN) {
		k.sent, k.err = 0, nil
	}
	return k.err != nil || k.sent < len(k.message)
}

func (k *talk) read(fd uintptr) bool {
	n, err := readSocket(fd, k.cn.buf)
	if errors.Is(err, syscall.EAGAIN) {
		return false
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	k.cn.start, k.cn.end, k.err = 0, max(n, 0), err
	return true
}

// ask writes the message and waits for the answer to begin.
func (cn *conn) ask(message []byte) error {
	cn.start, cn.end = 0, 0
	cn.talk = talk{cn: cn, message: message}
	err := cn.raw.Read(cn.step)
	if errors.Is(err, os.ErrDeadlineExceeded) && cn.watch.stop == nil {
		cn.attend() // it was only the glance
		err = cn.raw.Read(cn.step)
	}
	k := cn.talk
	cn.talk = talk{}
	switch {
	case k.err != nil:
		return k.err
	case err != nil:
		return err
	case k.sent < len(message):
		cn.attend()
		return cn.sendRest(message[k.sent:])
	}
	return nil
}

// sendRest writes the rest of the message. A service may answer and close without
// reading the whole body: then the write fails, and the answer counts. The connection
// is dead, which [Silent] finds before the next request.
func (cn *conn) sendRest(rest []byte) error {
	_, err := cn.net.Write(rest)
	if err == nil {
		return nil
	}
	if cn.fill(cn.options.MaxHeaderBytes) == nil {
		return nil
	}
	return err
}

// watch is who waits for an answer, and how long.
type watch struct {
	ctx   context.Context
	began time.Time
	stop  func() bool // ends the watch over ctx; nil: nobody watches yet
}

// glance is how long an exchange goes on before its connection gets a deadline
// and a watch over the caller's context of its own. Most are done by then, and
// each of the two costs as much as a system call.
const glance = 100 * time.Millisecond

// begin prepares an exchange. The deadline serves many of them, as long as it is
// far enough away.
func (cn *conn) begin(ctx context.Context, now time.Time) error {
	cn.watch = watch{ctx: ctx, began: now}
	if now.Before(cn.armed) {
		return nil
	}
	cn.armed = now.Add(glance / 2)
	return cn.net.SetDeadline(now.Add(glance))
}

// attend begins the watch over the caller's context and sets the deadline of the
// header: from here on something may take its time.
func (cn *conn) attend() {
	if cn.watch.stop != nil {
		return
	}
	cn.watch.stop = cn.cancelWith(cn.watch.ctx)
	cn.deadline(cn.watch.began.Add(cn.options.Timeout))
}

// deadline sets the connection's. A context that is done meanwhile must not lose
// its say: either it is seen here, or what [conn.cancelWith] does comes after.
func (cn *conn) deadline(t time.Time) {
	cn.armed = time.Time{}
	_ = cn.net.SetDeadline(t)
	if cn.watch.ctx.Err() != nil {
		_ = cn.net.SetDeadline(past())
	}
}

// dismiss ends the watch, and reports whether the context has left the connection
// alone.
func (cn *conn) dismiss() bool {
	stop := cn.watch.stop
	cn.idleSince = cn.watch.began // unless it took long, soon enough
	cn.watch = watch{}
	if stop == nil {
		return true
	}
	cn.idleSince = time.Now()
	return stop()
}

// exchange writes the message and reads the header of the answer. After an error
// the connection is of no use.
func (cn *conn) exchange(ctx context.Context, m *Message, now time.Time) (Answer, error) {
	if err := cn.begin(ctx, now); err != nil {
		return Answer{}, err
	}
	a, err := cn.converse(m.b)
	if err != nil {
		cn.dismiss()
		return Answer{}, err
	}
	return cn.answer(m, a), nil
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
	if err := cn.ask(message); errors.Is(err, errStale) {
		return answer{}, err
	} else if err != nil {
		return answer{}, unanswered(err)
	}
	const maxInformational = 16
	for i := range maxInformational {
		head, err := cn.readHead()
		switch {
		case err != nil && i == 0 && cn.start == cn.end:
			return answer{}, unanswered(err)
		case err != nil:
			return answer{}, badAnswer(unexpected(err))
		}
		a, err := parseHead(head)
		if err != nil {
			return answer{}, badAnswer(err)
		}
		if a.status == http.StatusSwitchingProtocols {
			return answer{}, badAnswer(errors.New("want an answer in HTTP/1.1, found 101"))
		}
		if a.status >= http.StatusOK {
			return a, nil
		}
	}
	return answer{}, badAnswer(errors.New("want a final answer, found 1xx only"))
}

func badAnswer(err error) error { return fmt.Errorf("%w: %w", ErrBadAnswer, err) }

// answer makes the answer's body from its framing.
func (cn *conn) answer(m *Message, a answer) Answer {
	length, keep := a.length, a.keep && !m.last
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		// Such an answer has no body. A service that announces one may send it.
		keep = keep && length <= 0 && !a.chunked
		length, a.chunked = 0, false
	case m.method == http.MethodHead:
		length, a.chunked = 0, false
	}
	if a.chunked {
		a.length, length = -1, -1
	}
	b := &body{cn: cn, keep: keep, chunked: a.chunked, left: length}
	switch {
	case length == 0:
		b.end(io.EOF)
	case length < 0 || int64(cn.end-cn.start) < length:
		cn.unhurry()
	}
	if length < 0 && !a.chunked {
		b.keep = false
	}
	return Answer{Status: a.status, Fields: a.fields, Length: a.length, Body: b}
}

// unhurry takes the deadline of the header off: a body may take its time.
func (cn *conn) unhurry() {
	cn.attend()
	cn.deadline(time.Time{})
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
	cn.attend()
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
