package framing_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/framing"
)

// kept is a connection that records what is written.
type kept struct {
	net.Conn
	unread  io.Reader
	written bytes.Buffer
}

func (k *kept) Read(p []byte) (int, error) { return k.unread.Read(p) }

func (k *kept) Write(p []byte) (int, error) { return k.written.Write(p) }
func (k *kept) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// TestRefuse: responses of net/http itself are replaced, and those of a handler never,
// whatever they look like.
func TestRefuse(t *testing.T) {
	const own = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n431"
	tests := []struct {
		name, text string
		serving    bool
		want       string
	}{
		{"net/http's", own, false, "own refusal"},
		{"a handler's", own, true, own},
		{"with a date", "HTTP/1.1 200 OK\r\nDate: today\r\n\r\n", false, "HTTP/1.1 200 OK\r\nDate: today\r\n\r\n"},
		{"an unknown expectation", "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nDate: today\r\nContent-Length: 0\r\n\r\n", false, "own refusal"},
		{"an unknown expectation in HTTP/1.0", "HTTP/1.0 417 Expectation Failed\r\nConnection: close\r\n\r\n", false, "own refusal"},
		{"a handler's 417", "HTTP/1.1 417 Expectation Failed\r\n\r\n", true, "HTTP/1.1 417 Expectation Failed\r\n\r\n"},
		{"no status", "HTTP/1.1 abc\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n", false,
			"HTTP/1.1 abc\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"},
		{"part of a body", "plain", false, "plain"},
		{"nothing", "", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := &kept{}
			var status int
			l := framing.NewListener(newOnce(inner), framing.Options{Refuse: func(r framing.Refusal) []byte {
				status = r.Status
				return []byte("own refusal")
			}})
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if tt.serving {
				framing.Begin((&http.Request{}).WithContext(framing.Context(t.Context(), c)))
			}
			if n, err := c.Write([]byte(tt.text)); n != len(tt.text) || err != nil {
				t.Errorf("wrote %d, %v: want %d", n, err, len(tt.text))
			}
			if have := inner.written.String(); have != tt.want {
				t.Errorf("on the wire %q, want %q", have, tt.want)
			}
			if tt.want == "own refusal" && strconv.Itoa(status) != strings.Fields(tt.text)[1] {
				t.Errorf("status %d, want that of %.20q", status, tt.text)
			}
		})
	}
}

// TestRefusalNamesPEM: if a header has PEM with line breaks, the refusal reports it, because
// this is the most frequent reason why net/http refuses the request of a client.
func TestRefusalNamesPEM(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: h\r\n"
	for name, tt := range map[string]struct{ stream, want string }{
		"bare line feeds":    {head + "X: -----BEGIN CERTIFICATE-----\nMIIB\n", "CERTIFICATE"},
		"CRLF":               {head + "X: -----BEGIN RSA " + "PRIVATE KEY-----\r\nMIIB\r\n", "RSA PRIVATE KEY"},
		"in one line":        {head + "X: -----BEGIN CERTIFICATE-----MIIB\r\nbroken\r\n", ""},
		"no PEM":             {head + "X: -----\r\nbroken\r\n", ""},
		"the request before": {head + "X: -----BEGIN CERTIFICATE-----\r\n\r\n" + head + "broken\r\n", ""},
		"a line too long":    {head + "X: " + strings.Repeat("y", 98) + "-----BEGIN CERTIFICATE-----MIIB\nbroken\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &kept{unread: strings.NewReader(tt.stream)}
			var refusal framing.Refusal
			l := framing.NewListener(newOnce(inner), framing.Options{Refuse: func(r framing.Refusal) []byte {
				refusal = r
				return nil
			}})
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Fatal(err)
			}
			const own = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400"
			if _, err := c.Write([]byte(own)); err != nil || refusal.PEM != tt.want {
				t.Errorf("want %q, found %q and %v", tt.want, refusal.PEM, err)
			}
		})
	}
}
