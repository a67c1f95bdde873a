package harness

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

// RestartableService is an upstream that can be stopped and started again on the same
// address. It records the requests.
type RestartableService struct {
	Addr string

	Accepted  atomic.Int64 // connections accepted
	Broken    atomic.Bool  // reads a request and closes the connection without a response
	Unhealthy atomic.Bool  // responds to health checks with 503
	Arrived   chan struct{}
	held      chan struct{} // requests for /held wait until it is closed

	Mu       sync.Mutex
	Requests []*http.Request // without their bodies
	listener net.Listener
	open     map[net.Conn]bool
	serving  sync.WaitGroup
}

// NewRestartableService starts a service on its own IP address. No other listener of the
// tests uses that address, so the port stays free while the service is stopped.
func NewRestartableService(t *testing.T) *RestartableService {
	t.Helper()
	s := &RestartableService{Addr: net.JoinHostPort(processAddress(2), "0"), Arrived: make(chan struct{}, 1000), held: make(chan struct{})}
	s.Start(t)
	t.Cleanup(func() {
		s.Release()
		s.Stop()
	})
	return s
}

// URL returns the URL of the service.
func (s *RestartableService) URL() string { return "http://" + s.Addr }

// Start listens on the address of the service.
func (s *RestartableService) Start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s.Addr, s.listener, s.open = l.Addr().String(), l, map[net.Conn]bool{}
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.Accepted.Add(1)
			s.Mu.Lock()
			s.open[c] = true
			s.Mu.Unlock()
			s.serving.Go(func() { s.serve(c) })
		}
	})
}

// Stop closes the listener and all connections, as a crash does.
func (s *RestartableService) Stop() {
	_ = s.listener.Close()
	s.Mu.Lock()
	for c := range s.open {
		_ = c.Close()
	}
	s.Mu.Unlock()
	s.serving.Wait()
}

// Release completes the requests for /held.
func (s *RestartableService) Release() {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	select {
	case <-s.held:
	default:
		close(s.held)
	}
}

func (s *RestartableService) serve(c net.Conn) {
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
		s.Mu.Lock()
		s.Requests = append(s.Requests, r)
		s.Mu.Unlock()
		if s.Broken.Load() {
			return
		}
		if _, err := io.WriteString(c, s.respond(r)); err != nil {
			return
		}
	}
}

func (s *RestartableService) respond(r *http.Request) string {
	switch {
	case r.URL.Path == "/held":
		s.Arrived <- struct{}{}
		<-s.held
	case r.URL.Path == "/healthz" && s.Unhealthy.Load():
		return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	}
	if bad, ok := BadResponses()[r.URL.Path]; ok {
		return bad
	}
	return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
}

// BadResponses returns responses that cannot be forwarded, by path.
func BadResponses() map[string]string {
	return map[string]string{
		"/bad/malformed": "HTTP/1.1 abc\r\n\r\n",
		"/bad/large":     "HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("a", 100<<10) + "\r\n\r\n",
		"/bad/lengths":   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	}
}

// Delivered returns the requests since the last call, except health checks.
func (s *RestartableService) Delivered() (requests []*http.Request) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, r := range s.Requests {
		if r.URL.Path != "/healthz" {
			requests = append(requests, r)
		}
	}
	s.Requests = nil
	return requests
}
