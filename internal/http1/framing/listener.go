package framing

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// maxTurnedAway is how many connections too many are told so at a time; others
// are closed without a word.
const maxTurnedAway = 64

// Options are how a [Listener] treats its connections.
type Options struct {
	// Refuse, when given, writes the answers to requests that net/http refuses
	// before any handler sees them, and to connections too many.
	Refuse func(Refusal) []byte
	// WriteTimeout bounds each Write, so that a client that does not read its
	// answer cannot hold a connection for ever; 0: nothing does.
	WriteTimeout time.Duration
	// MaxConnections bounds the connections that are open at a time; 0: nothing
	// does.
	MaxConnections int64
	// Admit, when given, reports whether a connection from this address is accepted.
	// Refuse answers the others with [Refusal.Stranger] set, before a byte is read.
	Admit func(net.Addr) bool
}

// Listener hands out connections that are watched. [NewListener] makes one.
type Listener struct {
	net.Listener
	options    Options
	open       atomic.Int64
	turnedAway atomic.Int64
}

// NewListener watches the connections of l.
func NewListener(l net.Listener, o Options) *Listener {
	return &Listener{Listener: l, options: o}
}

// Open is how many connections are open.
func (l *Listener) Open() int64 { return l.open.Load() }

// Accept waits for the next connection; it is a [*Conn].
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
		c.closed.Store(true) // it is not one of the open ones
		if l.turnedAway.Add(1) > maxTurnedAway {
			l.turnedAway.Add(-1)
			_ = c.Close()
			continue
		}
		go l.turnAway(c, *refusal)
	}
}

// admit counts a connection as open, or returns how it is refused.
func (l *Listener) admit(remote net.Addr) *Refusal {
	if l.options.Admit != nil && !l.options.Admit(remote) {
		return &Refusal{Remote: remote, Status: http.StatusForbidden, Stranger: true}
	}
	if n := l.open.Add(1); l.options.MaxConnections > 0 && n > l.options.MaxConnections {
		l.open.Add(-1)
		return &Refusal{Remote: remote, Status: http.StatusServiceUnavailable}
	}
	return nil
}

// turnAway answers without reading.
func (l *Listener) turnAway(c *Conn, refusal Refusal) {
	defer l.turnedAway.Add(-1)
	defer func() { _ = c.Close() }()
	if l.options.Refuse == nil {
		return
	}
	answer := l.options.Refuse(refusal)
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
	if _, err := c.Conn.Write(answer); err == nil {
		c.Linger()
	}
}
