// Package upstream is a TCP server for tests that answers HTTP requests with raw bytes.
package upstream

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// Server is a running server. Addr is its address, HOST:PORT.
type Server struct {
	Addr string

	conns atomic.Int64
}

// New starts a server that calls serve for each connection, in a goroutine of its own, and
// closes the connection when serve returns. The argument n of serve counts the connections
// from 1. At the end of the test, New closes all connections and waits for the goroutines.
func New(tb rawhttp.TB, serve func(n int, c *rawhttp.Conn)) *Server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("want a listener, found %v", err)
	}
	return Serve(tb, l, serve)
}

// Serve does what [New] does, on a listener that it closes at the end of the test.
func Serve(tb rawhttp.TB, l net.Listener, serve func(n int, c *rawhttp.Conn)) *Server {
	tb.Helper()
	s := &Server{Addr: l.Addr().String()}
	var accepting, serving sync.WaitGroup
	var open []net.Conn
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			n := int(s.conns.Add(1))
			serving.Go(func() {
				defer c.Close()
				serve(n, rawhttp.New(c))
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		accepting.Wait()
		for _, c := range open {
			c.Close()
		}
		serving.Wait()
	})
	return s
}

// Answering starts a server that reads complete requests and answers each one with the
// bytes that answer returns. It calls answer for several connections at the same time.
func Answering(tb rawhttp.TB, answer func(r *http.Request, body string) string) *Server {
	tb.Helper()
	return New(tb, func(_ int, c *rawhttp.Conn) {
		for {
			r, body, err := c.Request()
			if err != nil {
				return
			}
			c.Send(answer(r, body))
		}
	})
}

// Refusing returns an address that refuses connections until the end of the test. It is the
// local address of an outgoing connection, so that no other test gets the port.
func Refusing(tb rawhttp.TB) (addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("want a listener, found %v", err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatalf("want a connection, found %v", err)
	}
	tb.Cleanup(func() {
		c.Close()
		l.Close()
	})
	return c.LocalAddr().String()
}

// Conns returns the number of connections that were accepted.
func (s *Server) Conns() int { return int(s.conns.Load()) }
