package framing_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// bounded returns a listener with a bound on connections, and a channel with those that it
// accepted.
func bounded(t *testing.T, o framing.Options) (*framing.Listener, <-chan net.Conn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := framing.NewListener(inner, o)
	accepted := make(chan net.Conn, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for len(accepted) > 0 {
			_ = (<-accepted).Close()
		}
	})
	return l, accepted
}

func dial(t *testing.T, l net.Listener) *rawhttp.Conn {
	t.Helper()
	return rawhttp.Dial(t, l.Addr().String())
}

func take(t *testing.T, accepted <-chan net.Conn) net.Conn {
	t.Helper()
	select {
	case c := <-accepted:
		t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(rawhttp.Timeout):
		t.Fatal("no connection was accepted")
		return nil
	}
}

// wantText reads to the end of a connection and compares the text.
func wantText(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if have, err := io.ReadAll(c); err != nil || string(have) != want {
		t.Fatalf("read %q, %v: want %q and the end", have, err, want)
	}
}

func tooMany(calls *atomic.Int64) func(framing.Refusal) []byte {
	return func(r framing.Refusal) []byte {
		calls.Add(1)
		if r.Status != http.StatusServiceUnavailable || r.Remote == nil || r.RequestLine != "" || r.Ambiguous {
			return []byte("another refusal")
		}
		return []byte("too many")
	}
}

// TestMaxConnections: a connection over the bound gets a refusal and is closed, and Accept
// does not return it. A closed connection makes room for one other, however often it is
// closed.
func TestMaxConnections(t *testing.T) {
	var calls atomic.Int64
	l, accepted := bounded(t, framing.Options{MaxConnections: 2, Refuse: tooMany(&calls)})
	dial(t, l)
	first := take(t, accepted)
	dial(t, l)
	take(t, accepted)
	if n := l.Open(); n != 2 {
		t.Fatalf("%d are open, want 2", n)
	}
	for range 3 {
		wantText(t, dial(t, l), "too many")
	}
	if n := l.Open(); n != 2 {
		t.Errorf("%d are open, want the refused ones not counted", n)
	}
	for range 3 {
		_ = first.Close()
	}
	if n := l.Open(); n != 1 {
		t.Errorf("%d are open after one was closed three times, want 1", n)
	}
	dial(t, l)
	take(t, accepted)
	wantText(t, dial(t, l), "too many")
	if n := calls.Load(); n != 4 {
		t.Errorf("%d refusals, want 4", n)
	}
}

// TestAdmit: a connection that Admit refuses gets its refusal before it has sent anything, and
// does not count as open.
func TestAdmit(t *testing.T) {
	var connections atomic.Int64
	l, accepted := bounded(t, framing.Options{
		MaxConnections: 1,
		Admit:          func(remote net.Addr) bool { return remote != nil && connections.Add(1) > 3 },
		Refuse: func(r framing.Refusal) []byte {
			if !r.NotAdmitted || r.Status != http.StatusForbidden || r.Remote == nil {
				return []byte("another refusal")
			}
			return []byte("not admitted")
		},
	})
	for range 3 {
		wantText(t, dial(t, l), "not admitted")
	}
	if n := l.Open(); n != 0 {
		t.Errorf("want no connection open, found %d", n)
	}
	dial(t, l)
	take(t, accepted)
}

// TestNoMaxConnections: without a bound no connection is refused.
func TestNoMaxConnections(t *testing.T) {
	l, accepted := bounded(t, framing.Options{})
	for range 5 {
		dial(t, l)
		take(t, accepted)
	}
	if n := l.Open(); n != 5 {
		t.Errorf("%d are open, want 5", n)
	}
}

func TestRefusalWithoutResponse(t *testing.T) {
	l, accepted := bounded(t, framing.Options{MaxConnections: 1})
	dial(t, l)
	take(t, accepted)
	wantText(t, dial(t, l), "")
}

// TestRefusalWhileSending: a client that has sent its request reads the refusal, and no
// reset.
func TestRefusalWhileSending(t *testing.T) {
	sent := make(chan struct{})
	l, accepted := bounded(t, framing.Options{MaxConnections: 1, Refuse: func(framing.Refusal) []byte {
		<-sent
		return []byte("too many")
	}})
	dial(t, l)
	take(t, accepted)
	c := dial(t, l)
	_, err := io.WriteString(c, strings.Repeat("x", 50_000))
	close(sent)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, c, "too many")
}

// TestRefusalsAreBounded: refusals use a bounded number of goroutines, and one that ends
// makes room for the next.
func TestRefusalsAreBounded(t *testing.T) {
	const limit = 64
	goOn := make(chan struct{})
	var calls atomic.Int64
	l, accepted := bounded(t, framing.Options{MaxConnections: 1, Refuse: func(framing.Refusal) []byte {
		calls.Add(1)
		<-goOn
		return []byte("too many")
	}})
	dial(t, l)
	first := take(t, accepted)
	refused := make([]*rawhttp.Conn, limit)
	for i := range refused {
		refused[i] = dial(t, l)
	}
	for range 2 * limit {
		wantText(t, dial(t, l), "") // closed without a response
	}
	if n := calls.Load(); n != limit {
		t.Errorf("%d connections get a refusal at the same time, want %d", n, limit)
	}
	_ = first.Close()
	dial(t, l)
	take(t, accepted)
	close(goOn)
	for _, c := range refused {
		wantText(t, c, "too many")
		_ = c.Close()
	}
	awaitRefusal(t, l)
}

// awaitRefusal waits until the last refused connection is closed and the next one gets a refusal
// again.
func awaitRefusal(t *testing.T, l net.Listener) {
	t.Helper()
	for end := time.Now().Add(rawhttp.Timeout); time.Now().Before(end); {
		if have, err := io.ReadAll(dial(t, l)); err == nil && string(have) == "too many" {
			return
		}
	}
	t.Error("want a refusal for a new connection, found none")
}

// TestWriteTimeout: a client that does not read cannot block a Write forever.
func TestWriteTimeout(t *testing.T) {
	l, accepted := bounded(t, framing.Options{WriteTimeout: 50 * time.Millisecond})
	dial(t, l)
	server := take(t, accepted)
	part := make([]byte, 1<<20)
	for range 200 {
		_, err := server.Write(part)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
		if err != nil {
			t.Fatalf("Write returned %v, want a timeout", err)
		}
	}
	t.Fatal("want a timeout, found a client that reads")
}

// TestWriteTimeoutBegins: the timeout starts with each Write.
func TestWriteTimeoutBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, inner := net.Pipe()
		server, err := framing.NewListener(newOnce(inner), framing.Options{WriteTimeout: time.Second}).Accept()
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(client)
			read <- string(all)
		}()
		for _, text := range []string{"a", "b"} {
			if _, err := server.Write([]byte(text)); err != nil {
				t.Errorf("write %s: %v", text, err)
			}
			time.Sleep(2 * time.Second) // the clock of the bubble
		}
		_ = server.Close()
		if have := <-read; have != "ab" {
			t.Errorf("read %q, want ab", have)
		}
	})
}
