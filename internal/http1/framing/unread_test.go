package framing_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestUnread: bytes that were put back are read first, and checked like those of the socket.
func TestUnread(t *testing.T) {
	for _, split := range []int{0, 1, 10, 40, 70} {
		stream := rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc" + probe
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

func TestUnreadIsInspected(t *testing.T) {
	c, err := framing.NewListener(newOnce(&peer{}), framing.Options{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	ambiguous := rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 1", "Transfer-Encoding: chunked", "")
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

// own is a response that net/http makes itself.
const own = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"

// TestUnreadEndsServing: after Unread, a response without a handler is one of net/http itself.
func TestUnreadEndsServing(t *testing.T) {
	inner := &kept{}
	c, err := framing.NewListener(newOnce(inner), framing.Options{Refuse: func(framing.Refusal) []byte { return []byte("own refusal") }}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	framing.Begin((&http.Request{}).WithContext(framing.Context(t.Context(), c)))
	c.(*framing.Conn).Unread([]byte("\r\n"), time.Time{}, time.Time{})
	if _, err := c.Read(make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, own); err != nil {
		t.Fatal(err)
	}
	if have := inner.written.String(); have != "own refusal" {
		t.Errorf("on the wire %q, want the refusal written instead", have)
	}
}

// TestRefusalDuringHeader: a refusal in the middle of a header names the request line, and not the
// header line that was read last, which may be a credential.
func TestRefusalDuringHeader(t *testing.T) {
	var found framing.Refusal
	refuse := func(r framing.Refusal) []byte {
		found = r
		return []byte("refusal")
	}
	c, err := framing.NewListener(newOnce(&kept{}), framing.Options{Refuse: refuse}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.(*framing.Conn).Unread([]byte("GET /a HTTP/1.1\r\nX-SSL-Auth: secret"), time.Time{}, time.Time{})
	if _, err := c.Read(make([]byte, 99)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, own); err != nil || found.RequestLine != "GET /a HTTP/1.1" {
		t.Errorf("request line %q, %v: want that of the request", found.RequestLine, err)
	}
}

// timed is a connection that records the read deadline.
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

// TestUnreadLimits: until the request has been served, net/http can set no later deadline than
// the one of Unread.
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
			for range len("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n") {
				check("in the header", tt.inHead)
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			check("in the body", tt.inBody)
			framing.State(c, http.StateActive)
			check("while it is answered", tt.inBody)
			framing.State(c, http.StateIdle)
			check("when it is over", tt.ok)
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			check("after another read", tt.ok)
		})
	}
}
