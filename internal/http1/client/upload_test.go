package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// content returns n bytes whose parts all differ.
func content(n int) string {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%d,", b.Len())
	}
	return string(b.Bytes()[:n])
}

// TestUpload: the upstream receives the header and the body unchanged, also when the header
// is longer than the space in front of the body, and the connection is used again.
func TestUpload(t *testing.T) {
	up := upstream.Answering(t, func(r *http.Request, body string) string {
		text := r.Header.Get("X-Pad")[:1] + body
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	})
	c := newClient(t, up.Addr)
	for _, size := range []int{0, 1, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 1 << 20} {
		for _, pad := range []int{1, 4 << 10, 20 << 10} {
			body := content(size)
			r := request(t.Context(), http.MethodPost, body)
			r.Header.Set("X-Pad", strings.Repeat("p", pad))
			res, err := c.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			have, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(have) != "p"+body {
				t.Errorf("%d bytes after a header of %d: %d bytes came, %v", size, pad, len(have)-1, err)
			}
		}
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestUploadWithoutContentMethod: the connection of a long body closes after the response,
// if requests with the method usually have no body.
func TestUploadWithoutContentMethod(t *testing.T) {
	up := upstream.Answering(t, func(*http.Request, string) string { return rawhttp.Empty })
	c := newClient(t, up.Addr)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		if _, _, err := exchange(t, c, method, content(100<<10)); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if c.Idle() != 0 {
			t.Errorf("%s: the connection is kept", method)
		}
	}
}

// part is a body whose Read methods return a part and then block until the test sends the
// error that ends it.
type part struct {
	io.Reader
	end chan error
}

func newPart(text string) part { return part{strings.NewReader(text), make(chan error, 1)} }

func (p part) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		return n, <-p.end
	}
	return n, err
}

// uploadFrom sends a POST with a body of the length.
func uploadFrom(t *testing.T, c *testClient, body io.Reader, length int64) (*http.Response, error) {
	t.Helper()
	r := request(t.Context(), http.MethodPost, "")
	r.Body, r.ContentLength = io.NopCloser(body), length
	return c.RoundTrip(r)
}

// TestResponseDuringUpload: a response that comes before the client has sent its body is
// returned at once. The connection is closed, because the rest of the body is missing.
func TestResponseDuringUpload(t *testing.T) {
	rest := make(chan string, 1)
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		if _, err := c.Head(); err != nil {
			return
		}
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
		rest <- c.Rest()
	})
	c := newClient(t, up.Addr)
	body := newPart(content(100 << 10))
	res, err := uploadFrom(t, c, body, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	have, err := io.ReadAll(res.Body)
	if err != nil || string(have) != "early" {
		t.Errorf("response %q, %v: want early", have, err)
	}
	_ = res.Body.Close()
	if n := len(<-rest); n >= 1<<20 || c.Idle() != 0 {
		t.Errorf("the upstream got %d bytes of 1 MiB, %d connections are kept", n, c.Idle())
	}
	body.end <- errors.New("the test is over")
}

// TestUploadInBothDirections: a response that begins before the end of the body does not end
// the upload.
func TestUploadInBothDirections(t *testing.T) {
	const size = 300 << 10
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for {
			r, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", r.ContentLength))
			_, _ = io.Copy(c, r.Body)
		}
	})
	c := newClient(t, up.Addr)
	for range 2 {
		text := content(size)
		source, sink := io.Pipe()
		go func() {
			_, _ = io.WriteString(sink, text[:100<<10])
		}()
		res, err := uploadFrom(t, c, source, size)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 100<<10)
		if _, err := io.ReadFull(res.Body, first); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(sink, text[100<<10:]) }() // only after the upstream has responded
		rest, err := io.ReadAll(res.Body)
		if err != nil || string(first)+string(rest) != text {
			t.Errorf("%d bytes came back, %v: want all", len(first)+len(rest), err)
		}
		_ = res.Body.Close()
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestUploadBreaksOff: a body that cannot be read closes the connection, so that the upstream
// gets no complete request, and nothing is sent again.
func TestUploadBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name      string
		sent      int
		end, want error
	}{
		{"in the beginning", 0, broken, broken},
		{"later", 100 << 10, broken, broken},
		{"too short", 100 << 10, io.EOF, io.ErrUnexpectedEOF},
		{"one byte short", 1<<20 - 1, io.EOF, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			incomplete := make(chan error, 1)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				_, _, err := c.Request()
				incomplete <- err
			})
			body := newPart(content(tt.sent))
			body.end <- tt.end
			_, err := uploadFrom(t, newClient(t, up.Addr), body, 1<<20)
			if !errors.Is(err, tt.want) || errors.Is(err, client.ErrUnreachable) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if tt.sent == 0 {
				return // no connection was made
			}
			if err := <-incomplete; !errors.Is(err, io.ErrUnexpectedEOF) || up.Conns() != 1 {
				t.Errorf("the upstream read %v on %d connections, want an incomplete request on one", err, up.Conns())
			}
		})
	}
}

// TestUpstreamClosesDuringUpload: a request is not sent again after a part of its body.
func TestUpstreamClosesDuringUpload(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %t", kept), func(t *testing.T) {
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				if kept {
					_, _, _ = c.Request()
					c.Send(rawhttp.Empty)
				}
				_, _ = c.Head()
				_, _ = io.CopyN(io.Discard, c.Reader, 100<<10)
			})
			c := newClient(t, up.Addr)
			if kept {
				get(t, c, "")
			}
			_, _, err := exchange(t, c, http.MethodPut, strings.Repeat("x", 8<<20))
			if err == nil || errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrBadResponse) {
				t.Errorf("error %v, want a lost connection", err)
			}
			if n := up.Conns(); n != 1 || c.Idle() != 0 {
				t.Errorf("%d connections and %d idle, want 1 and 0", n, c.Idle())
			}
		})
	}
}

// TestUploadAfterKeptConnectionClosed: the whole body goes to a new connection.
func TestUploadAfterKeptConnectionClosed(t *testing.T) {
	up := upstream.New(t, func(n int, c *rawhttp.Conn) {
		_, body, err := c.Request()
		if err == nil {
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
		if n > 1 {
			c.Rest()
		}
	})
	c := newClient(t, up.Addr)
	get(t, c, "")
	c.AwaitDead()
	text := content(1 << 20)
	if _, body, err := exchange(t, c, http.MethodPost, text); err != nil || body != text {
		t.Errorf("%d bytes came back, %v: want all", len(body), err)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// late is a body that begins when begin receives a value.
type late struct {
	io.Reader
	begin <-chan time.Time
}

func (l *late) Read(p []byte) (int, error) {
	if l.begin != nil {
		<-l.begin
		l.begin = nil
	}
	return l.Reader.Read(p)
}

// TestUploadTimeouts: the timeout bounds each write, and the wait for the response after the
// body was sent, but not the time that the client takes for its body.
func TestUploadTimeouts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	const timeout = 2 * time.Second
	tests := []struct {
		name     string
		serve    func(c *rawhttp.Conn, end <-chan struct{})
		wait     time.Duration // of the client, before the second half of the body
		length   int64
		timedOut bool
	}{
		{"upstream reads nothing", func(_ *rawhttp.Conn, end <-chan struct{}) { <-end }, 0, 1 << 40, true},
		{"upstream does not respond", func(c *rawhttp.Conn, _ <-chan struct{}) { c.Rest() }, 0, 200 << 10, true},
		{"client is slow", func(c *rawhttp.Conn, _ <-chan struct{}) {
			_, _, _ = c.Request()
			c.Send(rawhttp.Empty)
		}, timeout + timeout/2, 200 << 10, false},
		{"client is slow, informational response before", func(c *rawhttp.Conn, _ <-chan struct{}) {
			r, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			c.Send("HTTP/1.1 103 Early Hints\r\n\r\n")
			_, _ = io.Copy(io.Discard, r.Body)
			c.Send(rawhttp.Empty)
		}, timeout + timeout/2, 200 << 10, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) { tt.serve(c, t.Context().Done()) })
			c := newClient(t, up.Addr, func(o *client.Options) { o.Timeout = timeout })
			body := io.MultiReader(io.LimitReader(endless{}, 100<<10), &late{endless{}, time.After(tt.wait)})
			res, err := uploadFrom(t, c, body, tt.length)
			var timeout net.Error
			if timedOut := errors.As(err, &timeout) && timeout.Timeout(); timedOut != tt.timedOut || err != nil && !timedOut {
				t.Errorf("error %v, want a timeout: %t", err, tt.timedOut)
			}
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
}
