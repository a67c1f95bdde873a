package client

import (
	"context"
	"errors"
	"os"
	"time"
)

// initialDeadline is how long an exchange runs before its connection gets the deadline of
// the response header and a watch over the caller's context. Most exchanges are finished
// by then, and each of the two costs as much as a system call.
const initialDeadline = 100 * time.Millisecond

// expired returns a deadline that ends every wait.
func expired() time.Time { return time.Unix(1, 0) }

// contextWatch ends the waits on a connection when the caller's context is done.
type contextWatch struct {
	ctx   context.Context
	start time.Time   // of the exchange
	stop  func() bool // ends the watch; nil while it has not started
}

// begin prepares an exchange. A deadline that is far enough away serves many exchanges.
func (cn *conn) begin(ctx context.Context, now time.Time) error {
	cn.watch = contextWatch{ctx: ctx, start: now}
	if now.Before(cn.deadline) {
		return nil
	}
	cn.deadline = now.Add(initialDeadline / 2)
	return cn.net.SetReadDeadline(now.Add(initialDeadline))
}

// startWatch watches the caller's context and sets the deadline of the response header. It
// is called when the exchange may take long, and does nothing when called again.
func (cn *conn) startWatch() {
	if cn.watch.stop != nil {
		return
	}
	cn.watch.stop = context.AfterFunc(cn.watch.ctx, func() { _ = cn.net.SetDeadline(expired()) })
	cn.setReadDeadline(cn.watch.start.Add(cn.client.options.Timeout))
}

// setReadDeadline sets the deadline of reads; an upload sets the one of writes. If the
// context is done meanwhile, both are expired afterwards: either the context is found done
// here, or the function of [conn.startWatch] runs later.
func (cn *conn) setReadDeadline(t time.Time) {
	cn.deadline = time.Time{}
	_ = cn.net.SetReadDeadline(t)
	if cn.watch.ctx.Err() != nil {
		_ = cn.net.SetDeadline(expired())
	}
}

// extendDeadline sets a later deadline if the error of a read only reports that the upload
// took long: the wait for the header of the response begins after it.
func (cn *conn) extendDeadline(err error) bool {
	if cn.sending == nil || !errors.Is(err, os.ErrDeadlineExceeded) || cn.watch.ctx.Err() != nil {
		return false
	}
	t := cn.sending.headerDeadline()
	cn.setReadDeadline(t)
	return time.Now().Before(t)
}

// clearHeaderDeadline removes the deadline of the response header: a body has no deadline.
func (cn *conn) clearHeaderDeadline() {
	cn.startWatch()
	cn.setReadDeadline(time.Time{})
}

// stopWatch ends the watch. It reports whether the context has not changed the deadline of
// the connection.
func (cn *conn) stopWatch() bool {
	stop := cn.watch.stop
	cn.idleSince = cn.watch.start // close enough for an exchange that needed no watch
	cn.watch = contextWatch{}
	if stop == nil {
		return true
	}
	cn.idleSince = time.Now()
	return stop()
}
