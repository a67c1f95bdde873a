package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// gathering responds to PUT requests once n of them wait, and to a GET with the number of
// its connection.
func gathering(t *testing.T, n int) *upstream.Server {
	t.Helper()
	var all sync.WaitGroup
	all.Add(n)
	return upstream.New(t, func(i int, c *rawhttp.Conn) {
		for {
			r, _, err := c.Request()
			switch {
			case err != nil:
				return
			case r.Method == http.MethodPut:
				all.Done()
				all.Wait()
				c.Send(rawhttp.Empty)
			default:
				number := strconv.Itoa(i)
				c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(number), number))
			}
		}
	})
}

func TestPool(t *testing.T) {
	up := gathering(t, 5)
	c := newClient(t, up.Addr, func(o *client.Options) { o.MaxIdle = 3 })
	keep(t, c, 5)
	if n := c.Idle(); n != 3 {
		t.Errorf("%d idle, want 3", n)
	}
	_, last, _ := exchange(t, c, http.MethodGet, "")
	for range 3 {
		get(t, c, last) // on the connection that was used last
	}
	c.Age(1, 2*client.MaxIdleTime)
	get(t, c, last)
	if n := c.Idle(); n != 2 {
		t.Errorf("%d idle, want the old one closed", n)
	}
	c.Age(2, 2*client.MaxIdleTime)
	get(t, c, "6")
	if n := c.Idle(); n != 1 {
		t.Errorf("%d idle, want both old ones closed", n)
	}
	c.CloseIdleConnections()
	if n := c.Idle(); n != 0 {
		t.Errorf("%d idle, want none", n)
	}
}

// TestCloseOld: a connection that has been idle for too long is closed, when it would be used next and
// when another one becomes idle.
func TestCloseOld(t *testing.T) {
	for name, n := range map[string]int{"used next": 1, "beside another one": 2} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan int, n+1)
			up := upstream.New(t, func(i int, c *rawhttp.Conn) {
				for {
					if _, _, err := c.Request(); err != nil {
						ended <- i
						return
					}
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
				}
			})
			c := newClient(t, up.Addr)
			responses := make([]*http.Response, n)
			for i := range responses {
				var err error
				if responses[i], err = c.RoundTrip(request(t.Context(), http.MethodGet, "")); err != nil {
					t.Fatal(err)
				}
			}
			for _, res := range responses {
				if _, err := io.ReadAll(res.Body); err != nil {
					t.Fatal(err)
				}
			}
			c.Age(1, 2*client.MaxIdleTime)
			get(t, c, "hi")
			if i := <-ended; i != 1 {
				t.Errorf("connection %d was closed, want the first", i)
			}
		})
	}
}

// TestCloseIdle: CloseIdleConnections closes a connection that is idle.
func TestCloseIdle(t *testing.T) {
	ended := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send(rawhttp.Empty)
		c.Rest()
		close(ended)
	})
	c := newClient(t, up.Addr)
	get(t, c, "")
	c.CloseIdleConnections()
	<-ended
}

// TestCloseWhileInUse: a connection that is in use during CloseIdleConnections is closed
// after its request.
func TestCloseWhileInUse(t *testing.T) {
	ended := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		c.Rest()
		close(ended)
	})
	c := newClient(t, up.Addr)
	res, err := c.RoundTrip(request(t.Context(), http.MethodGet, ""))
	if err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hi" {
		t.Errorf("body %q, %v: want hi", body, err)
	}
	<-ended
}

// TestManyAtOnce: every response belongs to its request, also while other requests are
// canceled.
func TestManyAtOnce(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body)%2 == 0 {
			w.(http.Flusher).Flush() // chunked
		}
		_, _ = w.Write(body)
	}))
	defer s.Close()
	c := newClient(t, s.Listener.Addr().String(), func(o *client.Options) { o.MaxIdle = 16 })
	clients, requests := 64, 200
	if testing.Short() {
		requests = 20
	}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for j := range requests {
				want := strings.Repeat(fmt.Sprintf("%d/%d,", i, j), 1+j*i%300)
				echo(t, c, want, j%10 == 9)
			}
		})
	}
	all.Wait()
	c.CloseIdleConnections()
}

// echo expects its own body in the response. A request that is canceled is canceled at any
// time.
func echo(t *testing.T, c *testClient, body string, cancels bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if cancels {
		go cancel()
	}
	res, err := c.RoundTrip(request(ctx, http.MethodPost, body))
	if err == nil {
		defer res.Body.Close()
		var have []byte
		have, err = io.ReadAll(res.Body)
		if !bytes.HasPrefix([]byte(body), have) || err == nil && string(have) != body {
			t.Errorf("response %.40q of %d bytes, want %.40q of %d bytes", have, len(have), body, len(body))
		}
	}
	if err != nil && !cancels {
		t.Error(err)
	}
}
