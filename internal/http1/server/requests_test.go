//go:build linux

package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// slowHandler waits in "/slow", and responds with the path.
func slowHandler(begun chan<- struct{}, goOn <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-goOn
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}
}

// TestEndWithARequest: the server finds an end of the stream that arrived together with a
// request and raised no event.
func TestEndWithARequest(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, goOn := make(chan struct{}, 1), make(chan struct{})
			r := start(t, bare, options{}, slowHandler(begun, goOn))
			c := r.dial().send(get("/slow"))
			await(t, begun, "request")
			c.send(get("/last"))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			long() // so that both are there before the server reads again
			goOn <- struct{}{}
			c.want(http.StatusOK, "/slow")
			c.want(http.StatusOK, "/last")
			c.wantEnd()
		})
	}
}

// TestUrgentData: the server finds bytes after urgent data, where a read stops short.
func TestUrgentData(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, goOn := make(chan struct{}, 1), make(chan struct{})
			r := start(t, bare, options{}, slowHandler(begun, goOn))
			c := r.dial().send(get("/slow"))
			await(t, begun, "request")
			c.send(get("/a")).urge("!")
			c.send(get("/b"))
			long() // so that all are there before the server reads again
			goOn <- struct{}{}
			for _, path := range []string{"/slow", "/a", "/b"} {
				c.want(http.StatusOK, path)
			}
		})
	}
}

// urge sends a byte of urgent data.
func (c *rawClient) urge(text string) {
	c.t.Helper()
	raw, err := c.Conn.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	if raw.Control(func(fd uintptr) { err = syscall.Sendto(int(fd), []byte(text), syscall.MSG_OOB, nil) }); err != nil {
		c.t.Fatal(err)
	}
}

// TestFullBuffer: bytes after a request that fills the buffer to its last byte are read at
// once, without the monitor.
func TestFullBuffer(t *testing.T) {
	const rounds = 30
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
			full := func(path string) string {
				frame := rawhttp.Lines("GET "+path+" HTTP/1.1", "Host: h", "X-Fill: ", "")
				return strings.Replace(frame, "X-Fill: ", "X-Fill: "+strings.Repeat("x", server.BufferSize-len(frame)), 1)
			}
			if fast, ok := r.server.(*server.Server); ok {
				fast.DisableMonitor()
			}
			c := r.dial()
			for range rounds {
				c.send(full("/a") + full("/b") + get("/c"))
				c.want(http.StatusOK, "/a")
				c.want(http.StatusOK, "/b")
				c.want(http.StatusOK, "/c")
				c.send(full("/d"))
				c.want(http.StatusOK, "/d")
			}
		})
	}
}

// TestCloseDuringARequest: Close does not wait for a handler, and cancels its context.
func TestCloseDuringARequest(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, ended, goOn := make(chan context.Context, 1), make(chan error, 1), make(chan struct{})
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				waiting(begun, ended)(w, r)
				<-goOn
			})
			c := r.dial().send(get("/wait"))
			ctx := await(t, begun, "request")
			closed := make(chan error, 1)
			go func() { closed <- r.server.Close() }()
			if err := await(t, closed, "end of Close"); err != nil {
				t.Error(err)
			}
			if !bare && ctx.Err() == nil { // which net/http's reader does a moment later
				t.Error("want the context canceled already")
			}
			if err := await(t, ended, "end of the context"); err == nil {
				t.Error("want the context canceled")
			}
			c.wantGone() // while the handler still works
			close(goOn)
		})
	}
}

// TestDue: the longer a request takes, the fewer scans peek at its socket, at least every 16th.
func TestDue(t *testing.T) {
	var due []uint
	for age := uint(1); age <= 64; age++ {
		if server.IsDue(age) {
			due = append(due, age)
		}
	}
	if want := []uint{1, 2, 4, 8, 16, 32, 48, 64}; !slices.Equal(due, want) {
		t.Errorf("peeks at ages %v, want %v", due, want)
	}
}

// TestEndAfterAnUnreadBody: a request whose body is unread is not cancelled when the client has
// ended its side. net/http does not notice that end either.
func TestEndAfterAnUnreadBody(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			begun, goOn := make(chan struct{}, 1), make(chan struct{})
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				<-goOn
				ended := r.Context().Err()
				body, err := io.ReadAll(r.Body)
				_, _ = fmt.Fprintf(w, "%s, %v, %v", body, err, ended)
			})
			c := r.dial().send(post("/", "abc"))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			await(t, begun, "request")
			long()
			long()
			goOn <- struct{}{}
			c.want(http.StatusOK, "abc, <nil>, <nil>")
		})
	}
}

// TestUnregister: a connection that begins a request while the monitor removes it stays
// registered, exactly once.
func TestUnregister(t *testing.T) {
	if server.Unregister(2, 2) {
		t.Error("a connection without a request stays registered")
	}
	if !server.Unregister(2, 3) {
		t.Error("a connection that has begun a request is not registered")
	}
}
