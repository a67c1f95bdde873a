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
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// bounded is a listener for so many connections, whose accepted ones come out of
// the channel.
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

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func take(t *testing.T, accepted <-chan net.Conn) net.Conn {
	t.Helper()
	select {
	case c := <-accepted:
		t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(patience):
		t.Fatal("no connection was accepted")
		return nil
	}
}

// wantText reads to the end of a connection.
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

// A connection too many is told so and closed, and does not come out of Accept.
// One that is closed makes room for one other, however often it is closed.
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
		t.Errorf("%d are open, want those turned away not counted", n)
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

// TestAdmit checks that a connection that is not admitted is refused as a stranger's,
// with an answer and before it has sent anything, and takes no place of another.
func TestAdmit(t *testing.T) {
	var strangers atomic.Int64
	l, accepted := bounded(t, framing.Options{
		MaxConnections: 1,
		Admit:          func(remote net.Addr) bool { return remote != nil && strangers.Add(1) > 3 },
		Refuse: func(r framing.Refusal) []byte {
			if !r.Stranger || r.Status != http.StatusForbidden || r.Remote == nil {
				return []byte("another refusal")
			}
			return []byte("a stranger")
		},
	})
	for range 3 {
		wantText(t, dial(t, l), "a stranger")
	}
	if n := l.Open(); n != 0 {
		t.Errorf("want no connection open, found %d", n)
	}
	dial(t, l)
	take(t, accepted)
}

// Without a bound nobody is turned away.
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

func TestTurnedAwayWithoutAWord(t *testing.T) {
	l, accepted := bounded(t, framing.Options{MaxConnections: 1})
	dial(t, l)
	take(t, accepted)
	wantText(t, dial(t, l), "")
}

// A client that has sent its request reads the refusal, not a reset.
func TestTurnedAwayWhileSending(t *testing.T) {
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

// However many are turned away at a time, they cost a bounded number of
// goroutines, and room that comes free is for the next.
func TestTurnedAwayAreBounded(t *testing.T) {
	const atATime = 64
	goOn := make(chan struct{})
	var calls atomic.Int64
	l, accepted := bounded(t, framing.Options{MaxConnections: 1, Refuse: func(framing.Refusal) []byte {
		calls.Add(1)
		<-goOn
		return []byte("too many")
	}})
	dial(t, l)
	first := take(t, accepted)
	told := make([]net.Conn, atATime)
	for i := range told {
		told[i] = dial(t, l)
	}
	for range 2 * atATime {
		wantText(t, dial(t, l), "") // without a word
	}
	if n := calls.Load(); n != atATime {
		t.Errorf("%d are told at a time, want %d", n, atATime)
	}
	_ = first.Close()
	dial(t, l)
	take(t, accepted)
	close(goOn)
	for _, c := range told {
		wantText(t, c, "too many")
		_ = c.Close()
	}
	awaitTold(t, l)
}

// awaitTold waits until the last that was told is closed: then one more is told
// again.
func awaitTold(t *testing.T, l net.Listener) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if have, err := io.ReadAll(dial(t, l)); err == nil && string(have) == "too many" {
			return
		}
	}
	t.Error("nobody is told any more")
}

// A client that does not read cannot hold a Write for ever.
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
			t.Fatalf("Write says %v, want a timeout", err)
		}
	}
	t.Fatal("want a timeout, found a client that reads")
}

// The time is each Write's: one that comes late has all of it.
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
			time.Sleep(2 * time.Second) // the bubble's clock
		}
		_ = server.Close()
		if have := <-read; have != "ab" {
			t.Errorf("read %q, want ab", have)
		}
	})
}

// What is put back is read first, and judged as what comes from the socket is.
func TestUnread(t *testing.T) {
	for _, split := range []int{0, 1, 10, 40, 70} {
		stream := lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc" + probe
		c, err := framing.NewListener(newOnce(&peer{parts: [][]byte{[]byte(stream[split:])}}), framing.Options{}).Accept()
		if err != nil {
			t.Fatal(err)
		}
		w := c.(*framing.Conn)
		w.Unread([]byte(stream[:split]), time.Time{}, time.Time{})
		for _, want := range []string{stream[:len(stream)-len(probe)], probe} {
			have, p := "", make([]byte, 512)
			for have != want {
				n, err := w.Read(p)
				have += string(p[:n])
				if err != nil || !strings.HasPrefix(want, have) {
					t.Fatalf("put back %d: read %q, %v: want %q", split, have, err, want)
				}
			}
		}
	}
}

func TestUnreadIsJudged(t *testing.T) {
	c, err := framing.NewListener(newOnce(&peer{}), framing.Options{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	ambiguous := lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 1", "Transfer-Encoding: chunked", "")
	c.(*framing.Conn).Unread([]byte(ambiguous+"0\r\n\r\n"+probe), time.Time{}, time.Time{})
	have, err := io.ReadAll(c)
	if string(have) != ambiguous || err != nil {
		t.Errorf("read %q, %v: want the header and the end", have, err)
	}
	r := (&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(framing.Context(t.Context(), c))
	if !framing.Begin(r) {
		t.Error("want the request ambiguous")
	}
}

// Who puts bytes back has had its requests answered: what net/http writes next
// without a request is its own refusal.
func TestUnreadEndsServing(t *testing.T) {
	inner := &kept{}
	c, err := framing.NewListener(newOnce(inner), framing.Options{Refuse: func(framing.Refusal) []byte { return []byte("anew") }}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	framing.Begin((&http.Request{}).WithContext(framing.Context(t.Context(), c)))
	c.(*framing.Conn).Unread([]byte("\r\n"), time.Time{}, time.Time{})
	if _, err := c.Read(make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	const own = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	if _, err := io.WriteString(c, own); err != nil {
		t.Fatal(err)
	}
	if have := inner.written.String(); have != "anew" {
		t.Errorf("on the wire %q, want the refusal written anew", have)
	}
}

// timed is a connection that keeps the read deadline.
type timed struct {
	net.Conn
	unread   io.Reader
	deadline time.Time
}

func (c *timed) Read(p []byte) (int, error) { return c.unread.Read(p) }

func (c *timed) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (c *timed) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// TestUnreadLimits: the deadlines that net/http sets end with those that the request had
// before it was handed over, until it has been answered.
func TestUnreadLimits(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	none := time.Time{}
	tests := []struct {
		name               string
		header, whole      time.Time
		set                time.Time
		inHead, inBody, ok time.Time // the deadline in force then, and when it is over
	}{
		{"later", at(10), at(60), at(100), at(10), at(60), at(100)},
		{"between", at(10), at(60), at(30), at(10), at(30), at(30)},
		{"earlier", at(10), at(60), at(5), at(5), at(5), at(5)},
		{"taken off", at(10), at(60), none, at(10), at(60), none},
		{"no limits", none, none, at(100), at(100), at(100), at(100)},
		{"no limit for the whole", at(10), none, none, at(10), none, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := &timed{unread: strings.NewReader("\r\n\r\nabc")}
			l, err := framing.NewListener(newOnce(inner), framing.Options{}).Accept()
			if err != nil {
				t.Fatal(err)
			}
			c := l.(*framing.Conn)
			check := func(when string, want time.Time) {
				t.Helper()
				if err := c.SetReadDeadline(tt.set); err != nil || !inner.deadline.Equal(want) {
					t.Errorf("%s: deadline %v, %v: want %v", when, inner.deadline, err, want)
				}
			}
			c.Unread([]byte("POST / HTTP/1.1\r\nContent-Length: 3"), tt.header, tt.whole)
			check("before the header", tt.inHead)
			for range 2 { // what was put back, and then the socket
				if _, err := c.Read(make([]byte, 64)); err != nil {
					t.Fatal(err)
				}
			}
			check("in the body", tt.inBody)
			framing.State(c, http.StateActive)
			check("while it is answered", tt.inBody)
			framing.State(c, http.StateIdle)
			check("when it is over", tt.ok)
		})
	}
}
