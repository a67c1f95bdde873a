//go:build linux

package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestEndOfReading: a handler that responds before it has the whole body ends the reading as
// package forward does. The client, which still sends, reads the response and the end of the
// connection, and no reset.
func TestEndOfReading(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) { endOfReading(t, bare, true) })
	}
	// A handler that neither announces the end of the connection nor waits for the client.
	t.Run("fast path alone", func(t *testing.T) { endOfReading(t, false, false) })
}

func endOfReading(t *testing.T, bare, lingers bool) {
	t.Helper()
	ends, ended, goOn := make(chan error, 1), make(chan struct{}), make(chan struct{})
	r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
		begun := make(chan struct{})
		go func() {
			_, _ = io.ReadFull(r.Body, make([]byte, 3))
			close(begun)
			_, err := io.Copy(io.Discard, r.Body)
			ends <- err
		}()
		<-begun
		if lingers {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprint(w, "early")
		control := http.NewResponseController(w)
		if err := control.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		var timeout net.Error
		if err := await(t, ends, "end of the body"); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the body ends in %v, want a timeout", err)
		}
		close(ended)
		<-goOn
		if !lingers {
			return
		}
		if err := control.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Error(err)
		}
	})
	body := string(bytes.Repeat([]byte("b"), 60_000))
	c := r.dial().send(post("/", body)[:20_000])
	await(t, ended, "end of the reading")
	c.send(body[:10_000]) // a server that closes on this would reset the connection
	close(goOn)
	c.want(200, "early")
	c.wantEnd()
}

// TestDeadlineOfTheHandler: reading a body does not replace a deadline that the handler has
// set.
func TestDeadlineOfTheHandler(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			ends := make(chan error, 1)
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
					t.Error(err)
				}
				_, err := io.ReadAll(r.Body)
				ends <- err
			})
			r.dial().send(post("/", "abc")[:len(post("/", "abc"))-1])
			var timeout net.Error
			if err := await(t, ends, "end of the body"); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("the body ends in %v, want a timeout", err)
			}
		})
	}
}

// TestReadAfterTheHandler: a goroutine that outlives the handler reads bytes of its own
// request only, and an error in the end.
func TestReadAfterTheHandler(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			type end struct {
				read []byte
				err  error
			}
			ends := make(chan end, 1)
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, "next")
					return
				}
				body := r.Body
				go func() {
					var e end
					for p := make([]byte, 7); e.err == nil; {
						var n int
						n, e.err = body.Read(p)
						e.read = append(e.read, p[:n]...)
					}
					ends <- e
				}()
			})
			for i := range 300 {
				c := r.dial()
				body := string(bytes.Repeat([]byte("b"), 1+i*7))
				text := post("/", body) + get("/next")
				cut := len(text) - i%len(text)
				c.send(text[:cut]).send(text[cut:])
				e := await(t, ends, "end of the body")
				if len(bytes.Trim(e.read, "b")) > 0 || len(e.read) > len(body) {
					t.Fatalf("read %q of a body of %d", e.read, len(body))
				}
				var timeout net.Error
				if !errors.Is(e.err, io.EOF) && !errors.Is(e.err, http.ErrBodyReadAfterClose) && !errors.As(e.err, &timeout) {
					t.Fatalf("the body ends in %v", e.err)
				}
				c.want(200, "")
				_ = c.Close()
			}
		})
	}
}

func TestReadAfterTheHandlerFails(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			first := make(chan io.Reader, 1)
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					first <- r.Body
					fmt.Fprint(w, "first")
					return
				}
				fmt.Fprint(w, "second")
			})
			c := r.dial().send(post("/", "abc") + get("/"))
			c.want(200, "first")
			c.want(200, "second")
			n, err := (<-first).Read(make([]byte, 9))
			if n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("read %d, %v: want none and ErrBodyReadAfterClose", n, err)
			}
		})
	}
}

func TestReadAfterClose(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = r.Body.Read(make([]byte, 1))
				_ = r.Body.Close()
				n, err := r.Body.Read(make([]byte, 1))
				fmt.Fprint(w, n, err)
			})
			c := r.dial().send(post("/", "abc") + get("/"))
			c.want(200, "0 "+http.ErrBodyReadAfterClose.Error())
		})
	}
}

// gated lets a test pause a Read before it sets its deadline.
type gated struct {
	*net.TCPConn
	armed, entered, past, open chan struct{}
}

func (g gated) SetReadDeadline(t time.Time) error {
	select {
	case <-g.past:
	default:
		if t.Equal(time.Unix(1, 0)) {
			close(g.past)
		}
	}
	select {
	case <-g.armed:
		close(g.entered)
		<-g.open
	default:
	}
	return g.TCPConn.SetReadDeadline(t)
}

// TestReadThatBegins: a handler returns while a Read of its body is about to begin. The Read
// must not set its own deadline after the one that ends it, and wait for the client.
func TestReadThatBegins(t *testing.T) {
	g := gated{armed: make(chan struct{}, 1), entered: make(chan struct{}), past: make(chan struct{}), open: make(chan struct{})}
	l := wrapped(t, func(c *net.TCPConn) net.Conn { g.TCPConn = c; return g })
	ended := make(chan error, 1)
	r := start(t, false, options{listener: l}, func(_ http.ResponseWriter, r *http.Request) {
		g.armed <- struct{}{}
		go func() {
			_, err := r.Body.Read(make([]byte, 9))
			ended <- err
		}()
		<-g.entered
		go func() {
			select {
			case <-g.past:
			case <-time.After(50 * time.Millisecond): // the Read is blocked, as required
			}
			close(g.open)
		}()
	})
	text := post("/", "abc")
	c := r.dial().send(text[:len(text)-3])
	_ = c.SetDeadline(time.Now().Add(rawhttp.Timeout / 2)) // before ReadTimeout
	c.want(200, "")
	var timeout net.Error
	if err := <-ended; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read returned %v, want a timeout", err)
	}
}

// TestReadArrived: a body can be read without waiting. What was read in this way is not read
// again, and a failure is found by the next Read.
func TestReadArrived(t *testing.T) {
	type arrived interface{ ReadArrived(p []byte) (int, error) }
	arrival := make(chan string)
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		body, p := r.Body.(arrived), make([]byte, 8)
		next := func() (n int, err error) {
			for n == 0 && err == nil {
				n, err = body.ReadArrived(p)
			}
			return n, err
		}
		if n, err := next(); string(p[:n]) != "abc" || err != nil {
			t.Errorf("the beginning is %q, %v", p[:n], err)
		}
		if n, err := body.ReadArrived(p); n != 0 || err != nil {
			t.Errorf("%q has arrived, %v; want nothing", p[:n], err)
		}
		arrival <- "next"
		if n, err := next(); string(p[:n]) != "def" || !errors.Is(err, io.EOF) {
			t.Errorf("the end is %q, %v", p[:n], err)
		}
		if n, err := body.ReadArrived(p); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%q after the end, %v", p[:n], err)
		}
		fmt.Fprint(w, "read")
		_ = r.Body.Close()
		if n, err := body.ReadArrived(p); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("%q of a closed body, %v", p[:n], err)
		}
	})
	request := post("/", "abcdef")
	c := r.dial().send(request[:len(request)-3])
	await(t, arrival, "beginning")
	c.send("def").want(200, "read")

	failed := make(chan error, 1)
	r = start(t, false, options{}, func(_ http.ResponseWriter, r *http.Request) {
		arrival <- "begun"
		<-arrival
		for range 2 {
			if n, err := r.Body.(arrived).ReadArrived(make([]byte, 8)); n != 0 || err != nil {
				t.Errorf("%d bytes after the end of the connection, %v; want 0", n, err)
			}
		}
		_, err := r.Body.Read(make([]byte, 8))
		failed <- err
		panic(http.ErrAbortHandler)
	})
	c = r.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
	await(t, arrival, "request")
	_ = c.CloseWrite()
	arrival <- "end"
	if err := await(t, failed, "failure"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the body ends in %v, want %v", err, io.ErrUnexpectedEOF)
	}
}
