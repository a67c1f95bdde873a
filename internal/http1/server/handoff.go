//go:build linux

package server

import (
	"net"
	"sync"
	"sync/atomic"
)

// handoff is the listener from which net/http accepts the connections that the fast path
// does not serve.
type handoff struct {
	addr  atomic.Value // net.Addr
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), done: make(chan struct{})}
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
	h.close.Do(func() { close(h.done) })
	return nil
}

func (h *handoff) Addr() net.Addr {
	addr, _ := h.addr.Load().(net.Addr)
	return addr
}
