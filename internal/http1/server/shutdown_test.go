//go:build linux

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// shutdown begins a Shutdown and returns when it has begun.
func (r *running) shutdown(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	return done
}

// gatedHandler waits in "/wait" and reports each request.
func gatedHandler(begun chan<- struct{}, goOn <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flush":
			_ = http.NewResponseController(w).Flush()
			fallthrough
		case "/wait":
			begun <- struct{}{}
			<-goOn
		}
		fmt.Fprint(w, "done")
	}
}

// TestShutdown: idle connections are closed, and running requests are finished.
func TestShutdown(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"plain": get("/wait"), "unusual": unusual("/wait"), "a body": post("/wait", "abc")} {
		t.Run(name, func(t *testing.T) {
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					begun, goOn := make(chan struct{}, 1), make(chan struct{})
					r := start(t, bare, options{}, gatedHandler(begun, goOn))
					idle, idleUnusual, busy := r.dial().send(get("/")), r.dial().send(unusual("/")), r.dial().send(request)
					idle.want(200, "done")
					idleUnusual.want(200, "done")
					await(t, begun, "request")
					done := r.shutdown(t.Context())
					idle.wantEnd()
					idleUnusual.wantEnd()
					_ = r.listener.Close() // the caller closes it at any time
					select {
					case err := <-done:
						t.Fatalf("Shutdown returned %v before the request did", err)
					default:
					}
					close(goOn)
					if h := busy.want(200, "done"); h == nil {
						t.Error("want a response")
					}
					busy.wantEnd()
					if err := await(t, done, "end of Shutdown"); err != nil {
						t.Errorf("Shutdown returned %v", err)
					}
					if err := await(t, r.served, "end of Serve"); !errors.Is(err, http.ErrServerClosed) {
						t.Errorf("Serve returned %v, want ErrServerClosed", err)
					}
					if _, err := net.Dial("tcp", r.listener.Addr().String()); err == nil {
						t.Error("want the address free")
					}
				})
			}
		})
	}
}

// TestShutdownClosesConnections: a response during the shutdown has Connection: close, and pipelined
// requests after it are not served.
func TestShutdownClosesConnections(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, goOn := make(chan struct{}, 9), make(chan struct{})
			r := start(t, bare, options{}, gatedHandler(begun, goOn))
			c := r.dial().send(get("/wait") + get("/wait") + get("/"))
			witness := r.dial().send(get("/"))
			witness.want(200, "done")
			await(t, begun, "request")
			done := r.shutdown(t.Context())
			witness.wantEnd() // now it has begun
			close(goOn)
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || !res.Close {
				t.Errorf("response %v, %v: want one that closes the connection", res, err)
			}
			c.wantGone()
			if len(begun) > 0 {
				t.Error("another request has begun")
			}
			if err := await(t, done, "end of Shutdown"); err != nil {
				t.Errorf("Shutdown returned %v", err)
			}
		})
	}
}

// readReporter is a connection that reports when the server waits for more of a header or body.
type readReporter struct {
	*net.TCPConn
	reads chan struct{}
}

func (c readReporter) Read(p []byte) (int, error) {
	c.reads <- struct{}{}
	return c.TCPConn.Read(p)
}

// reportReads wraps a test's first connection.
func reportReads(t *testing.T) (l net.Listener, reads <-chan struct{}) {
	t.Helper()
	all := make(chan struct{}, 1000)
	return wrapped(t, func(c *net.TCPConn) net.Conn { return readReporter{c, all} }), all
}

// TestShutdownDuringAResponse: pipelined requests are not served after a response that began
// before the shutdown either.
func TestShutdownDuringAResponse(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, goOn := make(chan struct{}, 9), make(chan struct{})
			r := start(t, bare, options{}, gatedHandler(begun, goOn))
			c, witness := r.dial().send(get("/flush")+get("/wait")), r.dial().send(get("/"))
			witness.want(200, "done")
			await(t, begun, "request")
			done := r.shutdown(t.Context())
			witness.wantEnd()
			close(goOn)
			c.want(200, "done")
			c.wantGone()
			if len(begun) > 0 {
				t.Error("another request has begun")
			}
			if err := await(t, done, "end of Shutdown"); err != nil {
				t.Errorf("Shutdown returned %v", err)
			}
		})
	}
}

// TestShutdownDuringAHeader: Shutdown waits for a request whose header is incomplete.
func TestShutdownDuringAHeader(t *testing.T) {
	l, reads := reportReads(t)
	r := start(t, false, options{listener: l}, describe)
	c := r.dial().send(get("/a") + get("/b")[:9])
	c.want(200, "fast /a ")
	witness := r.dial().send(get("/"))
	witness.want(200, "fast / ")
	await(t, reads, "wait for the rest")
	done := r.shutdown(t.Context())
	witness.wantEnd()
	c.send(get("/b")[9:]).want(200, "fast /b ")
	c.wantEnd()
	if err := await(t, done, "end of Shutdown"); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
}

// TestShutdownTimeout: Shutdown returns when its context ends, and Close ends the remaining
// requests.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"plain": get("/wait"), "unusual": unusual("/wait"), "half a header": get("/")[:9]} {
		t.Run(name, func(t *testing.T) {
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					if bare && len(request) == 9 {
						t.Skip("to net/http the connection is idle until the header is whole")
					}
					begun, goOn := make(chan struct{}, 1), make(chan struct{})
					l, reads := reportReads(t)
					r := start(t, bare, options{listener: l}, gatedHandler(begun, goOn))
					c := r.dial().send(get("/") + request)
					c.want(200, "done")
					if len(request) > 9 {
						await(t, begun, "request")
					} else {
						await(t, reads, "wait for the rest")
					}
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
					defer cancel()
					if err := await(t, r.shutdown(ctx), "end of Shutdown"); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Shutdown returned %v, want DeadlineExceeded", err)
					}
					_ = r.server.Close()
					c.wantGone()
					close(goOn)
					if err := await(t, r.served, "end of Serve"); !errors.Is(err, http.ErrServerClosed) {
						t.Errorf("Serve returned %v, want ErrServerClosed", err)
					}
				})
			}
		})
	}
}

// TestCloseDuringHandOver: Close may be called at any moment of a hand-off.
func TestCloseDuringHandOver(t *testing.T) {
	for range 40 {
		r := start(t, false, options{}, describe)
		var clients sync.WaitGroup
		for range 4 {
			c := r.dial()
			clients.Go(func() {
				_, _ = io.WriteString(c, unusual("/a")+get("/b"))
				_, _ = io.Copy(io.Discard, c)
			})
		}
		_ = r.server.Close()
		if err := await(t, r.served, "end of Serve"); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
		clients.Wait()
		if n := r.listener.Open(); n != 0 {
			// each connection is removed from the count by its own goroutine
			deadline := time.Now().Add(rawhttp.Timeout)
			for r.listener.Open() != 0 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if n := r.listener.Open(); n != 0 {
				t.Fatalf("%d connections are open", n)
			}
		}
	}
}

// failing is a listener whose Accept returns errors before connections.
type failing struct {
	net.Listener
	mu     sync.Mutex
	errors []error
}

func (l *failing) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errors) > 0 {
		err := l.errors[0]
		l.errors = l.errors[1:]
		l.mu.Unlock()
		return nil, err
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

func failingWith(t *testing.T, errs ...error) *failing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &failing{Listener: l, errors: errs}
}

// TestAcceptAgain: a lack of file descriptors is temporary.
func TestAcceptAgain(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			short := &net.OpError{Op: "accept", Err: syscall.EMFILE}
			r := start(t, bare, options{listener: failingWith(t, short, short, short)}, func(http.ResponseWriter, *http.Request) {})
			r.dial().send(get("/")).want(200, "")
		})
	}
}

// flaky is a listener whose Accept fails before each connection.
type flaky struct {
	net.Listener
	works atomic.Bool
}

func (l *flaky) Accept() (net.Conn, error) {
	if l.works.CompareAndSwap(false, true) {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	defer l.works.Store(false)
	return l.Listener.Accept()
}

// TestAcceptSoonAgain: after a connection, the delay after an error is the shortest again.
func TestAcceptSoonAgain(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			l := &flaky{Listener: failingWith(t)}
			r := start(t, bare, options{listener: l}, func(http.ResponseWriter, *http.Request) {})
			for range 3 {
				r.dial().send(get("/")).want(200, "")
			}
			log := r.log.String()
			if n := strings.Count(log, "; retrying in 5ms"); n < 3 || n != strings.Count(log, "; retrying in") {
				t.Errorf("log %q, want a delay of 5ms each time", log)
			}
		})
	}
}

func TestAcceptFails(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			broken := errors.New("broken")
			r := start(t, bare, options{listener: failingWith(t, broken)}, func(http.ResponseWriter, *http.Request) {})
			if err := await(t, r.served, "end of Serve"); !errors.Is(err, broken) {
				t.Errorf("Serve returned %v, want the listener's error", err)
			}
		})
	}
}

// plainConn is a connection without a file descriptor.
type plainConn struct{ net.Conn }

// TestNoDescriptor: net/http serves connections without a file descriptor.
func TestNoDescriptor(t *testing.T) {
	l := wrapped(t, func(c *net.TCPConn) net.Conn { return plainConn{c} })
	r := start(t, false, options{listener: l}, describe)
	r.dial().send(get("/a")).want(200, "http /a ")
	r.dial().send(get("/a")).want(200, "fast /a ")
}

// slow is a listener that holds its first connection back until it is closed.
type slow struct {
	net.Listener
	taken, closed chan struct{}
	first, end    sync.Once
}

func (l *slow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.first.Do(func() {
		close(l.taken)
		<-l.closed
	})
	return c, err
}

func (l *slow) Close() error {
	l.end.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// TestAcceptAfterClose: a connection that Accept returns after Close is not served.
func TestAcceptAfterClose(t *testing.T) {
	wraps := map[string]func(*net.TCPConn) net.Conn{
		"for the fast path": nil,
		"for net/http":      func(c *net.TCPConn) net.Conn { return plainConn{c} },
	}
	for name, wrap := range wraps {
		t.Run(name, func(t *testing.T) {
			l := &slow{Listener: wrapped(t, wrap), taken: make(chan struct{}), closed: make(chan struct{})}
			r := start(t, false, options{listener: l}, describe)
			c := r.dial()
			await(t, l.taken, "connection")
			_ = r.server.Close()
			c.wantEnd()
		})
	}
}
