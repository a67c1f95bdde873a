package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// arrivedBody is a body whose first bytes have arrived. Read waits for the others.
type arrivedBody struct {
	arrived *strings.Reader
	late    io.Reader
	fault   error // of ReadArrived, after the arrived bytes
	reads   int   // calls of Read
	taken   int   // bytes that ReadArrived returned
}

func (b *arrivedBody) Read(p []byte) (int, error) {
	b.reads++
	return io.MultiReader(b.arrived, b.late).Read(p)
}

func (b *arrivedBody) ReadArrived(p []byte) (int, error) {
	if b.arrived.Len() == 0 {
		return 0, b.fault
	}
	n, err := b.arrived.Read(p)
	b.taken += n
	return n, err
}

func (b *arrivedBody) Close() error { return nil }

func post(t *testing.T, c *testClient, body *arrivedBody, length int) (*http.Response, string, error) {
	t.Helper()
	r := request(t.Context(), http.MethodPost, "")
	r.Body, r.ContentLength = body, int64(length)
	res, err := c.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// TestArrivedBody: what has arrived of a body is sent without a call of Read, up to a limit, and
// the upstream receives the body unchanged.
func TestArrivedBody(t *testing.T) {
	up := upstream.Answering(t, func(_ *http.Request, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	c := newClient(t, up.Addr)
	const first, limit = 64 << 10, 1 << 20 // of the first call of Read, and of the bytes after it
	tests := []struct {
		name          string
		arrived, late int
	}{
		{"all", first + 1, 0},
		{"all, with several reads", limit, 0},
		{"a part", 200 << 10, 300 << 10},
		{"nothing but the beginning", first, 1},
		{"more than the limit", 3 * limit, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := content(tt.arrived + tt.late)
			for _, length := range []int{len(text), -1} {
				body := &arrivedBody{arrived: strings.NewReader(text[:tt.arrived]), late: strings.NewReader(text[tt.arrived:])}
				_, have, err := post(t, c, body, length)
				if err != nil || have != text {
					t.Errorf("length %d: %d bytes came, %v; want the body of %d bytes", length, len(have), err, len(text))
				}
				if body.taken > limit+first+256<<10 {
					t.Errorf("length %d: %d bytes were sent before the response was expected", length, body.taken)
				}
			}
		})
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestArrivedBodyStalls: an upstream that responds and does not read gets what its socket
// accepts. The response is returned although the body has more bytes.
func TestArrivedBodyStalls(t *testing.T) {
	done := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		c.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly")
		<-done
	})
	c := newClient(t, up.Addr)
	const size = 64 << 20 // more than sockets hold
	res, text, err := post(t, c, &arrivedBody{arrived: strings.NewReader(strings.Repeat("x", size)), late: strings.NewReader("")}, size)
	close(done)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || text != "early" || c.Idle() != 0 {
		t.Errorf("response %v %q, %v, %d connections are kept: want 413 early, none", res, text, err, c.Idle())
	}
}

// TestArrivedBodyFails: when the body cannot be read to its end, the upstream receives no
// complete request.
func TestArrivedBodyFails(t *testing.T) {
	received := make(chan string, 1)
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _ = c.Head()
		received <- c.Rest()
	})
	c := newClient(t, up.Addr)
	for _, fault := range []error{errors.New("the client has failed"), io.ErrUnexpectedEOF, fmt.Errorf("the client has failed: %w", io.EOF)} {
		for _, length := range []int{300 << 10, -1} {
			for _, arrived := range []int{1, 200 << 10} {
				body := &arrivedBody{arrived: strings.NewReader(content(arrived)), late: failing{fault}, fault: fault}
				_, _, err := post(t, c, body, length)
				if err == nil || c.Idle() != 0 {
					t.Errorf("length %d, %d arrived: no error of %v, or %d connections are kept", length, arrived, fault, c.Idle())
				}
				if text := <-received; len(text) >= 300<<10 || strings.HasSuffix(text, "0\r\n\r\n") {
					t.Errorf("length %d: the upstream received %d bytes, the last ones %q", length, len(text), text[max(len(text)-10, 0):])
				}
			}
		}
	}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestChunkedBody: a body of unknown length is sent in chunks, also when it is empty, when nothing
// of it has arrived, and when it arrives in small parts.
func TestChunkedBody(t *testing.T) {
	up := upstream.Answering(t, func(r *http.Request, body string) string {
		text := fmt.Sprint(r.TransferEncoding, r.Header["Content-Length"], body)
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	})
	c := newClient(t, up.Addr)
	for _, text := range []string{"", "a", "0\r\n\r\n", content(0xfff), content(70 << 10)} {
		bodies := []io.Reader{strings.NewReader(text), iotest.DataErrReader(strings.NewReader(text))}
		if len(text) < 70<<10 || !testing.Short() { // each byte becomes a chunk
			bodies = append(bodies, iotest.OneByteReader(strings.NewReader(text)))
		}
		for _, body := range bodies {
			res, err := uploadFrom(t, c, body, -1)
			if err != nil {
				t.Fatal(err)
			}
			have, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := "[chunked] []" + text; err != nil || string(have) != want {
				t.Errorf("the upstream received %.50q, %v; want %.50q", have, err, want)
			}
		}
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
