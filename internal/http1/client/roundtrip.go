package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/certgate/certgate/internal/http1/nonblock"
	"github.com/certgate/certgate/internal/http1/syntax"
)

// errStale means that a kept connection was closed by the upstream, or received bytes
// without a request. Nothing was sent on it.
var errStale = errors.New("the kept connection is unusable")

// errNoResponse means that a connection ended before a byte of the response arrived.
var errNoResponse = errors.New("the connection ended before the response")

// roundTrip is the state of writing a request and waiting for the first bytes of the
// response.
type roundTrip struct {
	cn      *conn
	request *Request
	checked bool   // the connection was found quiescent, and the request was written
	unsent  []byte // the end of the last write, which the kernel did not accept
	err     error
}

// onReady checks the connection and writes the request when it is called first, and reads
// when it is called again. It returns false to be called when the connection is readable.
// It does not read directly after the write: the connection had no bytes before, and the
// kernel reports every byte that arrives later.
func (rt *roundTrip) onReady(fd uintptr) bool {
	if rt.checked {
		return rt.onReadable(fd)
	}
	rt.checked = true
	if !nonblock.Quiescent(fd) {
		rt.err = errStale
		return true
	}
	rt.write(fd, rt.request.wire)
	rt.sendArrived(fd)
	return rt.unsent != nil || rt.request.unread > 0
}

// write writes what the kernel accepts of p, and keeps the rest. An [upload] sends the rest, and
// gets the error of a failed write again.
func (rt *roundTrip) write(fd uintptr, p []byte) {
	if n, _ := nonblock.Write(fd, p, nil); n < len(p) {
		rt.unsent = bytes.Clone(p[n:])
	}
}

// arrivedReader is a body that can be read without waiting.
type arrivedReader interface {
	// ReadArrived reads as Read does, and returns 0 without an error if nothing has arrived.
	ReadArrived(p []byte) (int, error)
}

// arrivedPiece is how many bytes sendArrived reads at once. Fewer and larger writes wake the
// upstream less often. A piece is in use only while a goroutine runs, so there are few of them.
const arrivedPiece = 256 << 10

// sendArrived sends what has arrived of the rest of the body, up to maxArrived bytes, because the
// upstream may respond before it has the whole body. An [upload] sends what remains, and gets the
// error of a failed read again.
func (rt *roundTrip) sendArrived(fd uintptr) {
	const maxArrived = 4 * arrivedPiece
	m := rt.request
	rest, ok := m.rest.(arrivedReader)
	if !ok {
		return
	}
	piece := pooled[[arrivedPiece]byte](&rt.cn.client.arrived)
	defer rt.cn.client.arrived.Put(piece)
	for sent := 0; m.unread > 0 && rt.unsent == nil && sent < maxArrived; {
		n, _ := rest.ReadArrived(piece[:min(m.unread, arrivedPiece)])
		if n == 0 {
			return
		}
		rt.write(fd, piece[:n])
		m.unread -= int64(n)
		sent += n
	}
}

// onReadable reads the first bytes of the response into the buffer.
func (rt *roundTrip) onReadable(fd uintptr) bool {
	rt.cn.acquireBuffer()
	n, err := nonblock.Read(fd, rt.cn.buf)
	if errors.Is(err, syscall.EAGAIN) {
		rt.cn.releaseBuffer()
		return false
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	rt.cn.start, rt.cn.end, rt.err = 0, n, err
	return true
}

// send writes the request and waits for the first bytes of the response.
func (cn *conn) send(m *Request) error {
	cn.start, cn.end = 0, 0
	cn.roundTrip = roundTrip{cn: cn, request: m}
	err := cn.raw.Read(cn.onReady)
	if errors.Is(err, os.ErrDeadlineExceeded) && cn.watch.stop == nil {
		cn.startWatch() // only the initial deadline has passed
		err = cn.raw.Read(cn.onReady)
	}
	rt := cn.roundTrip
	cn.roundTrip = roundTrip{}
	if err == nil {
		err = rt.err
	}
	if err == nil && (rt.unsent != nil || m.unread > 0) {
		err = cn.upload(m, rt.unsent)
	}
	return err
}

// upload sends the rest of the request, beginning with unsent, and waits for the first bytes of
// the response. An upstream may respond and close without reading the whole body. The response
// counts then, and the connection is closed.
func (cn *conn) upload(m *Request, unsent []byte) error {
	// The body does not refer to m, which may be used again. If m.rest is nil, m.unread is 0, and
	// the upload ends with unsent.
	body := io.MultiReader(bytes.NewReader(unsent), m.rest)
	u := &upload{net: cn.net, body: body, timeout: cn.client.options.Timeout, done: make(chan struct{})}
	u.left.Store(int64(len(unsent)) + m.unread)
	cn.sending = u
	go u.run(&cn.client.pieces)
	err := cn.fill()
	if err != nil && u.isDone() && u.err != nil {
		return u.err
	}
	return err
}

// readFinalHead writes the request and reads headers until one has a final status.
func (cn *conn) readFinalHead(m *Request) (responseHead, error) {
	if err := cn.send(m); err != nil {
		return responseHead{}, noResponse(err)
	}
	const maxInformational = 16
	for i := range maxInformational {
		var lines syntax.Scanner
		text, err := cn.readThrough(lines.Head)
		switch {
		case err != nil && i == 0 && cn.start == cn.end:
			return responseHead{}, noResponse(err)
		case err != nil:
			return responseHead{}, badResponse(unexpectedEOF(err))
		}
		head, err := parseHead(text, m.fields)
		m.fields = head.fields
		switch {
		case err != nil:
			return responseHead{}, badResponse(err)
		case head.status == http.StatusSwitchingProtocols:
			return responseHead{}, badResponse(errors.New("want a response in HTTP/1.1, found 101"))
		case head.status >= http.StatusOK:
			return head, nil
		}
	}
	return responseHead{}, badResponse(errors.New("want a final response, found 1xx only"))
}

// noResponse marks an error as the end of a connection without a response. A timeout or a
// canceled wait is returned unchanged, and so is [errStale].
func noResponse(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errStale) {
		return err
	}
	return fmt.Errorf("%w: %w", errNoResponse, err)
}

func badResponse(err error) error { return fmt.Errorf("%w: %w", ErrBadResponse, err) }

// newResponse returns the response, whose body is framed as the header says.
func (cn *conn) newResponse(m *Request, head responseHead) Response {
	length, keepAlive := head.length, head.keepAlive && !m.closing
	switch {
	case head.status == http.StatusNoContent || head.status == http.StatusNotModified:
		// Such a response has no body. An upstream that announces one may send it.
		keepAlive = keepAlive && length <= 0 && !head.chunked
		length, head.chunked = 0, false
	case m.method == http.MethodHead:
		length, head.chunked = 0, false
	}
	b := &m.body
	*b = body{cn: cn, keepAlive: keepAlive && (length >= 0 || head.chunked), chunked: head.chunked, remaining: length}
	switch {
	case length == 0:
		b.finish(io.EOF)
	case length < 0 || int64(cn.end-cn.start) < length:
		cn.clearHeaderDeadline()
	}
	return Response{Status: head.status, Fields: head.fields, Length: head.length, Body: b}
}
