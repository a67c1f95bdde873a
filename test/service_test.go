package test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// service is one address of an upstream that can go away and come back, and
// counts what is delivered to it.
type service struct {
	addr string

	conns  atomic.Int64 // connections accepted
	broken atomic.Bool  // reads a request and ends the connection without an answer
	unwell atomic.Bool  // answers health checks with 503
	asked  chan struct{}
	held   chan struct{} // requests for /held wait for it to be closed

	mu       sync.Mutex
	heads    []*http.Request // without their bodies
	listener net.Listener
	open     map[net.Conn]bool
	serving  sync.WaitGroup
}

// newService listens on an address that no other test's process is given: they
// all take 127.0.0.1, so that this one is free when the service comes back.
func newService(t *testing.T) *service {
	t.Helper()
	s := &service{addr: "127.0.0.2:0", asked: make(chan struct{}, 1000), held: make(chan struct{})}
	s.start(t)
	t.Cleanup(func() {
		s.release()
		s.stop()
	})
	return s
}

func (s *service) url() string { return "http://" + s.addr }

func (s *service) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr, s.listener, s.open = l.Addr().String(), l, map[net.Conn]bool{}
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			s.serving.Go(func() { s.serve(c) })
		}
	})
}

// stop ends it as a crash does: nobody listens, every connection breaks.
func (s *service) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// release lets the requests for /held go on.
func (s *service) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.held:
	default:
		close(s.held)
	}
}

func (s *service) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		s.mu.Lock()
		s.heads = append(s.heads, r)
		s.mu.Unlock()
		if s.broken.Load() {
			return
		}
		if _, err := io.WriteString(c, s.answer(r)); err != nil {
			return
		}
	}
}

func (s *service) answer(r *http.Request) string {
	switch {
	case r.URL.Path == "/held":
		s.asked <- struct{}{}
		<-s.held
	case r.URL.Path == "/healthz" && s.unwell.Load():
		return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	}
	if bad, ok := badAnswers()[r.URL.Path]; ok {
		return bad
	}
	return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
}

// badAnswers are answers that cannot be forwarded, by path.
func badAnswers() map[string]string {
	return map[string]string{
		"/bad/malformed": "HTTP/1.1 abc\r\n\r\n",
		"/bad/large":     "HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("a", 100<<10) + "\r\n\r\n",
		"/bad/lengths":   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	}
}

// delivered is what arrived since the last call, health checks excepted.
func (s *service) delivered() (requests []*http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.heads {
		if r.URL.Path != "/healthz" {
			requests = append(requests, r)
		}
	}
	s.heads = nil
	return requests
}
