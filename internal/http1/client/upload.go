package client

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// upload sends the part of a request that the socket did not accept at once, and the part of
// its body that has not arrived. It runs in its own goroutine, because the upstream may respond
// before it has the whole body. It ends when the body was sent or cannot be read, or when the connection is
// closed, and can outlive the exchange.
type upload struct {
	net     net.Conn
	body    io.Reader
	timeout time.Duration // of each write
	left    atomic.Int64  // bytes that have not been read from body

	done  chan struct{} // closed at the end
	ended time.Time     // after done
	err   error         // why the request was not sent; after done
}

// run sends the body. If the client does not send all of it, run closes the connection, so
// that the upstream does not wait for the rest. If the upstream does not read it in time, run
// closes the connection, so that the exchange does not wait for a response. After any other
// failed write the connection stays open, because the upstream may have responded.
func (u *upload) run(pool *sync.Pool) {
	piece := pooled[[MaxBuffered]byte](pool)
	readErr, writeErr := u.copy(piece[:])
	pool.Put(piece)
	u.err, u.ended = errors.Join(readErr, writeErr), time.Now()
	close(u.done)
	if readErr != nil || errors.Is(writeErr, os.ErrDeadlineExceeded) {
		_ = u.net.Close()
	}
}

func (u *upload) copy(piece []byte) (readErr, writeErr error) {
	for left := u.left.Load(); left > 0; {
		n, err := u.body.Read(piece[:min(left, MaxBuffered)])
		if left = u.left.Add(-int64(n)); err != nil && left > 0 {
			return unexpectedEOF(err), nil
		}
		_ = u.net.SetWriteDeadline(time.Now().Add(u.timeout))
		if _, err := u.net.Write(piece[:n]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// isDone reports whether the upload has ended.
func (u *upload) isDone() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// headerDeadline returns the deadline of the response header. It moves with the current time
// until the upload has ended.
func (u *upload) headerDeadline() time.Time {
	if u.isDone() {
		return u.ended.Add(u.timeout)
	}
	return time.Now().Add(u.timeout)
}

// complete reports, at the end of the response, whether the whole request was sent. The last
// write may return a little later than the upstream responds.
func (u *upload) complete() bool {
	const lastWrite = 50 * time.Millisecond
	if u.left.Load() > 0 {
		return false
	}
	select {
	case <-u.done:
		return u.err == nil
	case <-time.After(lastWrite):
		return false
	}
}
