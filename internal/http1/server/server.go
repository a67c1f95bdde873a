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
)

// Server serves plain requests as an [http.Server] would, and gives the other requests to
// one. It is safe for concurrent use. Create it with [New].
type Server struct {
	// Intern returns a string with the same bytes as the value of the longest field, if one is
	// in memory already, so that the value needs no copy. Its strings are printable ASCII. It
	// is optional and must be set before Serve.
	Intern func(value []byte) (string, bool)

	fallback     *http.Server
	writeTimeout time.Duration
	handoff      *handoff
	buffers      sync.Pool // of *[bufferSize]byte
	heads        sync.Pool // of *head, for [response.ReuseRequest]
	monitor      monitor
	workers      workers

	closed atomic.Bool // written under mu
	mu     sync.Mutex
	conns  map[*conn]struct{}
}

// New creates a server that uses the handler, the timeouts, the bound on headers and the
// ConnContext of fallback for plain requests, too. writeTimeout bounds the time in which a
// client accepts a part of a response. fallback must not be used otherwise, and its
// ConnState must be [framing.State] or call it. Connections that run TLS or have no file
// descriptor go to fallback at once.
//
// There is one difference from net/http's contract: the context of a request is that of
// the connection. It is cancelled when the client hangs up, and not when the handler returns.
// README.md of http1 lists every difference.
func New(fallback *http.Server, writeTimeout time.Duration) *Server {
	return &Server{fallback: fallback, writeTimeout: writeTimeout, handoff: newHandoff(), conns: map[*conn]struct{}{}}
}

// Serve accepts connections, each a [*framing.Conn], until the listener fails or
// the server is closed; then the error is [http.ErrServerClosed].
func (s *Server) Serve(l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.fallback.Serve(s.handoff) }()
	err := s.fallback.Serve(entrance{l, s})
	if s.closed.Load() {
		return <-ended
	}
	return err
}

// entrance is the listener of a [Server], with an Accept for net/http's server.
type entrance struct {
	net.Listener
	s *Server
}

// Accept starts a goroutine for each connection that the fast path can serve, and returns the
// others. It retries temporary errors, such as a lack of file descriptors, as net/http's server
// does. That server would lengthen its delay with each error until Accept returns a connection.
func (e entrance) Accept() (net.Conn, error) {
	var delay time.Duration // after a failure; it doubles with each further one
	for {
		nc, err := e.Listener.Accept()
		var temporary interface{ Temporary() bool }
		if errors.As(err, &temporary) && temporary.Temporary() {
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			e.s.logf("http: Accept error: %v; retrying in %v", err, delay)
			time.Sleep(delay)
			continue
		}
		if err != nil {
			return nil, err
		}
		delay = 0
		switch c := newConn(e.s, nc); {
		case c == nil:
			return nc, nil
		case e.s.track(c):
			go c.serve()
		default:
			_ = nc.Close()
		}
	}
}

// Close closes the listener, unless the caller has closed it before: net/http's Shutdown would return
// that as an error if Serve has not noticed it yet.
func (e entrance) Close() error {
	if err := e.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// track adds the connection unless the server is closed.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown closes the connections that wait for a request and lets the others finish
// theirs, as [http.Server.Shutdown] does. The caller closes the listener. When ctx is done
// first, Shutdown returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed.Store(true)
	s.mu.Unlock()
	// fallback gets connections until the last one here is done, so it cannot be shut down
	// yet. It can close its own after their present request.
	s.fallback.SetKeepAlivesEnabled(false)
	defer s.workers.close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.closeIdle() > 0 {
		select {
		case <-ctx.Done():
			return errors.Join(s.fallback.Shutdown(ctx), ctx.Err())
		case <-tick.C:
		}
	}
	return s.fallback.Shutdown(ctx)
}

// closeIdle closes the connections that wait for a request and returns the number of the
// others.
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

// Close closes every connection and cancels the contexts of their requests.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed.Store(true)
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	s.workers.close()
	return s.fallback.Close()
}

func (s *Server) logf(format string, args ...any) {
	if s.fallback.ErrorLog != nil {
		s.fallback.ErrorLog.Printf(format, args...)
	}
}
