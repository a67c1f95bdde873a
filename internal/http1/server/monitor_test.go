//go:build linux

package server_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// waiting returns a handler that waits for the end of its request's context.
func waiting(begun chan<- context.Context, ended chan<- error) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- r.Context()
		select {
		case <-r.Context().Done():
		case <-time.After(rawhttp.Timeout):
		}
		ended <- r.Context().Err()
	}
}

// TestHangup: a client that hangs up ends the context of the request that it waits for.
func TestHangup(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sent string
		onlyFast   bool // net/http does not notice it after bytes that it has read ahead
	}{
		{"no body", get("/wait"), false},
		{"a body", post("/wait", "abc"), false},
		{"a later request", get("/") + post("/", "abc") + get("/wait"), false},
		{"part of the next request", get("/wait") + "GET ", true},
		{"handed over", unusual("/wait"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					if bare && tt.onlyFast {
						t.Skip("net/http does not notice")
					}
					begun, ended := make(chan context.Context, 1), make(chan error, 1)
					r := start(t, bare, options{}, waiting(begun, ended))
					c := r.dial().send(tt.sent)
					await(t, begun, "request")
					_ = c.Close()
					if err := await(t, ended, "end of the handler"); err == nil {
						t.Error("want the context canceled")
					}
				})
			}
		})
	}
}

// TestHangupLater: the same when the request arrives late, or is not the first one that takes
// long.
func TestHangupLater(t *testing.T) {
	t.Parallel()
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			begun, ended, goOn := make(chan context.Context, 1), make(chan error, 1), make(chan struct{})
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					<-goOn
				}
				waiting(begun, ended)(w, r)
			})
			c := r.dial().send(get("/slow"))
			long()
			goOn <- struct{}{}
			c.want(200, "")
			text := post("/wait", "abc")
			c.send(text[:len(text)-1])
			long()
			c.send(text[len(text)-1:])
			await(t, begun, "request")
			long()
			_ = c.Close()
			if err := await(t, ended, "end of the handler"); err == nil {
				t.Error("want the context canceled")
			}
		})
	}
}

// TestNoHangup: no timeout of the server looks like a client that hangs up, or stops the monitor.
func TestNoHangup(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for name, sent := range map[string]string{"no body": get("/wait"), "a body": post("/wait", "abc"), "a later request": get("/") + get("/wait")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, ended := make(chan context.Context, 1), make(chan error, 1)
			r := start(t, false, options{readHeader: soon, read: soon, idle: soon}, waiting(begun, ended))
			c := r.dial().send(sent)
			ctx := await(t, begun, "request")
			for range 2 { // each one ends later than the timeouts of the request
				r.dial().send(get("/")).wantResponseAndEnd()
			}
			if ctx.Err() != nil {
				t.Errorf("the context has ended: %v", context.Cause(ctx))
			}
			_ = c.Close()
			if err := await(t, ended, "end of the handler"); err == nil {
				t.Error("want the context canceled")
			}
		})
	}
}

func (c *rawClient) wantResponseAndEnd() {
	c.t.Helper()
	c.want(200, "")
	c.wantEnd()
}

// long waits until the monitor has usually found a handler that runs. A test that calls it
// must pass without that, too.
func long() { <-time.After(120 * time.Millisecond) }

// rounds returns how often a test repeats requests that take long: n times, and half of that
// with -short.
func rounds(n int) int {
	if testing.Short() {
		return n / 2
	}
	return n
}

// TestNextRequestDuringALongOne: bytes that arrive while a handler runs are the next request,
// and its context is not cancelled.
func TestNextRequestDuringALongOne(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-goOn
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("the context of %s has ended: %v", r.URL, err)
		}
		describe(w, r)
	})
	c := r.dial()
	for range rounds(2) { // the second time on a connection that was registered before
		c.send(get("/slow"))
		long()
		c.send(get("/next"))
		long()
		goOn <- struct{}{}
		c.want(200, "fast /slow ")
		c.want(200, "fast /next ")
		c.send(get("/slow"))
		long()
		goOn <- struct{}{}
		c.want(200, "fast /slow ")
		c.send(post("/last", "x")).want(200, "fast /last x")
	}
}

// TestMonitorReleases: the monitor checks connections with a request only, and those that get
// another one again.
func TestMonitorReleases(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan context.Context, 2), make(chan struct{})
	r := start(t, false, options{}, func(_ http.ResponseWriter, r *http.Request) {
		begun <- r.Context()
		<-goOn
	})
	fast := r.server.(*server.Server)
	one, other := r.dial(), r.dial()
	for range rounds(2) + 1 {
		for _, c := range []*rawClient{one, other} {
			c.send(get("/a"))
			await(t, begun, "request")
		}
		long()
		wantMonitored(t, fast, 2)
		goOn <- struct{}{}
		goOn <- struct{}{}
		one.want(200, "")
		other.want(200, "")
		wantMonitored(t, fast, 0)
	}
}

// TestEndDuringRequest: a connection that ends, or goes to net/http, while it has a request leaves the
// monitor, and the end cancels the contexts of its requests.
func TestEndDuringRequest(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, sent string }{
		{"handed over", unusual("/")},
		{"a panic", get("/panic")},
		{"the end of its goroutine", get("/exit")},
		{"Connection: close", get("/close")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contexts := make(chan context.Context, 2)
			r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
				contexts <- r.Context()
				switch r.URL.Path {
				case "/panic":
					panic(http.ErrAbortHandler)
				case "/exit":
					runtime.Goexit()
				case "/close":
					w.Header().Set("Connection", "close")
				}
			})
			c := r.dial().send(get("/"))
			c.want(200, "")
			c.send(tt.sent)
			for range 2 {
				await(t, (<-contexts).Done(), "end of the context")
			}
			wantMonitored(t, r.server.(*server.Server), 0)
		})
	}
}

// wantMonitored waits until the monitor checks this number of connections.
func wantMonitored(t *testing.T, s *server.Server, want int) {
	t.Helper()
	for deadline := time.Now().Add(rawhttp.Timeout); s.Monitored() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the monitor checks %d connections, want %d", s.Monitored(), want)
		}
	}
}
