package framing

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// maxTurnedAway bounds the refused connections that get a response at a time. Further ones
// are closed without a response.
const maxTurnedAway = 64

// Options configure a [Listener].
type Options struct {
	// Refuse, if set, returns the response to a request that net/http refuses before it calls
	// a handler, and to a connection that the listener refuses.
	Refuse func(Refusal) []byte
	// WriteTimeout bounds each Write, so that a client that does not read its response cannot
	// keep a connection forever. 0 is no bound.
	WriteTimeout time.Duration
	// MaxConnections bounds the connections that are open at a time. 0 is no bound.
	MaxConnections int64
	// Admit, if set, reports whether a connection from this address is accepted. The others
	// get the response of Refuse with [Refusal.NotAdmitted] set, before a byte is read.
	Admit func(net.Addr) bool
}

// Listener accepts connections as [Conn]. Create it with [NewListener].
type Listener struct {
	net.Listener
	options    Options
	open       atomic.Int64
	turnedAway atomic.Int64
}

// NewListener returns a listener for the connections of l.
func NewListener(l net.Listener, o Options) *Listener {
	return &Listener{Listener: l, options: o}
}

// Open returns the number of open connections.
func (l *Listener) Open() int64 { return l.open.Load() }

// Capacity returns the maximum number of open connections. 0 is no bound.
func (l *Listener) Capacity() int64 { return l.options.MaxConnections }

// Accept waits for the next connection and returns it as a [*Conn].
func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: nc, listener: l}
		refusal := l.admit(nc.RemoteAddr())
		if refusal == nil {
			return c, nil
		}
		c.closed.Store(true) // it does not count as open
		if l.turnedAway.Add(1) > maxTurnedAway {
			l.turnedAway.Add(-1)
			_ = c.Close()
			continue
		}
		go l.turnAway(c, *refusal)
	}
}

// admit counts a connection as open, or returns why it is refused.
func (l *Listener) admit(remote net.Addr) *Refusal {
	if l.options.Admit != nil && !l.options.Admit(remote) {
		return &Refusal{Remote: remote, Status: http.StatusForbidden, NotAdmitted: true}
	}
	if n := l.open.Add(1); l.options.MaxConnections > 0 && n > l.options.MaxConnections {
		l.open.Add(-1)
		return &Refusal{Remote: remote, Status: http.StatusServiceUnavailable}
	}
	return nil
}

// turnAway sends a refusal without reading a request, and closes the connection.
func (l *Listener) turnAway(c *Conn, refusal Refusal) {
	defer l.turnedAway.Add(-1)
	defer func() { _ = c.Close() }()
	if l.options.Refuse == nil {
		return
	}
	response := l.options.Refuse(refusal)
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
	if _, err := c.Conn.Write(response); err == nil {
		c.Linger()
	}
}
