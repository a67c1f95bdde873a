//go:build linux

package server

import (
	"context"
	"net"
)

// handoff is the listener from which net/http accepts the connections that the fast path
// does not serve.
type handoff struct {
	conns chan net.Conn
	done  <-chan struct{}
	close context.CancelFunc // closes done
}

func newHandoff() *handoff {
	ctx, cancel := context.WithCancel(context.Background())
	return &handoff{make(chan net.Conn), ctx.Done(), cancel}
}

// give hands over a connection, or closes it when the listener is closed.
func (h *handoff) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		_ = c.Close()
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.close()
	return nil
}

// Addr returns nil, because net/http does not use the address.
func (h *handoff) Addr() net.Addr { return nil }
