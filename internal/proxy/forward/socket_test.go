package forward

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/proxy/body"
)

// pair returns a socket and the other end of its connection.
func pair(t *testing.T, tls bool) (*socket, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(here, tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = here.Close()
		_ = there.Close()
	})
	return s, there.(*net.TCPConn)
}

// reader reads from s until the first error, and sends the bytes of each read to the
// returned channel.
func reader(t *testing.T, s *socket) <-chan []byte {
	t.Helper()
	reads, ended := make(chan []byte, 100), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(reads)
		for {
			p := make([]byte, 1000)
			n, err := s.Read(p)
			if err != nil {
				return
			}
			reads <- p[:n]
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return reads
}

// await waits until the condition holds. what describes it in the failure message.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("want %s in time", what)
		}
	}
}

// TestSilent checks that a socket is silent while its reader waits and no bytes are unread,
// and with TLS only between records.
func TestSilent(t *testing.T) {
	record := append([]byte{23, 3, 3, 1, 0}, make([]byte, 256)...)
	tests := []struct {
		name     string
		tls      bool
		received []byte
		silent   bool
	}{
		{"plain", false, []byte("x"), true},
		{"a whole record", true, record, true},
		{"two records", true, bytes.Repeat(record, 2), true},
		{"an empty record", true, []byte{23, 3, 3, 0, 0}, true},
		{"a part of a record", true, record[:260], false},
		{"a part of a header", true, record[:3], false},
		{"a header", true, record[:5], false},
		{"a record and a byte", true, append(bytes.Clone(record), 23), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, there := pair(t, tt.tls)
			if s.quiescent() {
				t.Error("want a socket without a reader not quiescent")
			}
			reads := reader(t, s)
			await(t, "silence", s.quiescent)
			if _, err := there.Write(tt.received); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < len(tt.received); {
				n += len(<-reads)
			}
			await(t, "the reader to wait", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.waiting
			})
			if s.quiescent() != tt.silent {
				t.Errorf("quiescent %t, want %t", !tt.silent, tt.silent)
			}
			_ = s.Close()
			if s.quiescent() {
				t.Error("want a closed socket not quiescent")
			}
		})
	}
}

// TestNotSilent checks that unread bytes and an unread end of the connection are detected.
func TestNotSilent(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn) error{
		"bytes":   func(c *net.TCPConn) error { _, err := c.Write([]byte("x")); return err },
		"the end": func(c *net.TCPConn) error { return c.CloseWrite() },
		"a reset": func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, there := pair(t, false)
			s.waiting = true // simulates a reader that has not been woken yet
			if !s.quiescent() {
				t.Fatal("want the socket quiescent before the end")
			}
			if err := end(there); err != nil {
				t.Fatal(err)
			}
			await(t, "unread data found", func() bool { return !s.quiescent() })
		})
	}
}

// TestReuse checks that a kept connection is reused if its reader waits and the previous
// response allows it. Otherwise, it is closed before a byte is written to it, and no part
// of the request body is lost.
func TestReuse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		reused          bool
		reads, reusable bool
		fit             bool
		thenReadsLater  bool
	}{
		{"silent", true, true, true, true, false},
		{"read from later", true, false, true, true, true},
		{"no reader", true, false, true, false, false},
		{"response not checked", true, true, false, false, false},
		{"fresh", false, false, true, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := pair(t, false)
			c := newConn(s, s, time.Minute)
			c.reusable.Store(tt.reusable)
			if tt.reads {
				reader(t, s)
			}
			if tt.thenReadsLater {
				time.AfterFunc(time.Millisecond, func() { _, _ = s.Read(make([]byte, 1)) })
			}
			check := func(t *testing.T) {
				t.Helper()
				u := use{body: body.New(nil, &http.Request{Body: http.NoBody}, &body.Options{}).NewAttempt()}
				trace := httptrace.ContextClientTrace(u.withTrace(t.Context()))
				trace.GotConn(httptrace.GotConnInfo{Conn: c, Reused: tt.reused})
				_, err := u.body.Read(make([]byte, 1))
				bodyClosed := errors.Is(err, http.ErrBodyReadAfterClose)
				if u.stale == tt.fit || c.closed.Load() == tt.fit || bodyClosed == tt.fit {
					t.Errorf("stale %t, closed %t, body closed %t: want it reused %t", u.stale, c.closed.Load(), bodyClosed, tt.fit)
				}
				if tt.fit && c.reusable.Load() {
					t.Error("want the connection not reusable before the next response")
				}
			}
			if tt.fit {
				check(t)
				return
			}
			synctest.Test(t, check) // the wait for a reader, or for the response, takes no time
		})
	}
}

// TestCheckResponse checks that the connection is closed after a response that announces a body
// although its status allows none.
func TestCheckResponse(t *testing.T) {
	length := func(n string) http.Header { return http.Header{"Content-Length": {n}} }
	tests := []struct {
		name string
		res  http.Response
		keep bool
	}{
		{"200", http.Response{StatusCode: http.StatusOK, Header: length("3")}, true},
		{"204", http.Response{StatusCode: http.StatusNoContent}, true},
		{"204 with length zero", http.Response{StatusCode: http.StatusNoContent, Header: length("0")}, true},
		{"204 with a length", http.Response{StatusCode: http.StatusNoContent, Header: length("3")}, false},
		{"204 with chunks", http.Response{StatusCode: http.StatusNoContent, TransferEncoding: []string{"chunked"}}, false},
		{"304", http.Response{StatusCode: http.StatusNotModified}, true},
		{"304 with a length", http.Response{StatusCode: http.StatusNotModified, Header: length("3")}, false},
		{"304 with chunks", http.Response{StatusCode: http.StatusNotModified, TransferEncoding: []string{"chunked"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := pair(t, false)
			u := use{conn: newConn(s, s, time.Minute)}
			u.conn.reusable.Store(false)
			u.checkResponse(&tt.res)
			if u.conn.reusable.Load() != tt.keep || u.conn.closed.Load() == tt.keep {
				t.Errorf("reusable %t, closed %t: want kept %t", u.conn.reusable.Load(), u.conn.closed.Load(), tt.keep)
			}
		})
	}
}
