//go:build linux

package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
)

// Server answers plain requests as an [http.Server] would, and gives it the
// rest. It is safe for concurrent use; [New] makes one.
type Server struct {
	rest         *http.Server
	writeTimeout time.Duration
	handoff      *handoff
	buffers      sync.Pool // of *[bufferSize]byte
	date         atomic.Pointer[date]
	lookout      lookout

	closed atomic.Bool // set under mu
	mu     sync.Mutex
	conns  map[*conn]struct{}
}

// New makes a server in front of rest: its handler, its timeouts, its bound on
// headers and its ConnContext are used for plain requests too. writeTimeout is
// how long a client may take to read a part of an answer. rest must not be used
// otherwise, and its ConnState must be [framing.State] or call it. Connections that run TLS
// or have no file descriptor go straight to it.
//
// Two things are not as net/http has them. A request's context is the connection's:
// it is cancelled when the client hangs up, but not when the handler returns. So are
// the request itself, its URL and its Header: nobody may use them after the handler
// has returned, and nobody may change the Header. The Body is the request's own.
func New(rest *http.Server, writeTimeout time.Duration) *Server {
	return &Server{rest: rest, writeTimeout: writeTimeout, handoff: newHandoff(), conns: map[*conn]struct{}{}}
}

// Serve accepts connections, each a [*framing.Conn], until the listener fails or
// the server is closed; then the error is [http.ErrServerClosed].
func (s *Server) Serve(l net.Listener) error {
	s.handoff.addr.Store(l.Addr())
	failed := make(chan error, 1)
	go func() {
		failed <- s.rest.Serve(s.handoff)
		_ = l.Close() // nobody would take what is not plain
	}()
	err := s.accept(l)
	if s.closed.Load() {
		return <-failed
	}
	return err
}

// accept starts a goroutine for each connection. Being out of file descriptors
// passes; what else Accept says does not.
func (s *Server) accept(l net.Listener) error {
	wait := patience{}
	for {
		nc, err := l.Accept()
		if err != nil {
			if !wait.worthwhile(err) {
				return err
			}
			s.logf("accept: %v; again in %v", err, wait.next)
			time.Sleep(wait.next)
			continue
		}
		wait = patience{}
		s.begin(nc)
	}
}

// patience grows with each failure of Accept.
type patience struct{ next time.Duration }

func (p *patience) worthwhile(err error) bool {
	var temporary interface{ Temporary() bool }
	if !errors.As(err, &temporary) || !temporary.Temporary() {
		return false
	}
	p.next = min(max(2*p.next, 5*time.Millisecond), time.Second)
	return true
}

func (s *Server) begin(nc net.Conn) {
	watched, ok := nc.(*framing.Conn)
	if !ok {
		s.handoff.give(nc)
		return
	}
	c := newConn(s, watched)
	if c == nil {
		s.handoff.give(nc)
		return
	}
	if !s.track(c) {
		_ = nc.Close()
		return
	}
	go c.serve()
}

func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown closes the connections that wait for a request and lets the others
// finish theirs, as [http.Server.Shutdown] does for what it was given. The
// listener is the caller's to close. When ctx is done first, its error is
// returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed.Store(true)
	s.mu.Unlock()
	// Until the last of ours is done it may be given more; but it need not wait to
	// end its own.
	s.rest.SetKeepAlivesEnabled(false)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.closeIdle() > 0 {
		select {
		case <-ctx.Done():
			return errors.Join(s.rest.Shutdown(ctx), ctx.Err())
		case <-tick.C:
		}
	}
	return s.rest.Shutdown(ctx)
}

// closeIdle closes the connections that wait for a request and says how many
// others there are.
func (s *Server) closeIdle() (busy int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.closeIdle() {
			busy++
		}
	}
	return busy
}

// Close closes every connection.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed.Store(true)
	for c := range s.conns {
		c.cut()
	}
	s.mu.Unlock()
	return s.rest.Close()
}

func (s *Server) logf(format string, args ...any) {
	if s.rest.ErrorLog != nil {
		s.rest.ErrorLog.Printf(format, args...)
	}
}

// date is the Date field of the answers of one second.
type date struct {
	second int64
	text   string
}

// dateAt is the time as RFC 9110, section 5.6.7 has it.
func (s *Server) dateAt(now time.Time) string {
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}
