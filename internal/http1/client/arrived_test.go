package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
			body := &arrivedBody{arrived: strings.NewReader(text[:tt.arrived]), late: strings.NewReader(text[tt.arrived:])}
			_, have, err := post(t, c, body, len(text))
			if err != nil || have != text {
				t.Errorf("%d bytes came, %v; want the body of %d bytes", len(have), err, len(text))
			}
			if body.taken > limit+256<<10 {
				t.Errorf("%d bytes were sent before the response was expected", body.taken)
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
	fault := errors.New("the client has failed")
	body := &arrivedBody{arrived: strings.NewReader(content(200 << 10)), late: failing{fault}, fault: fault}
	_, _, err := post(t, c, body, 300<<10)
	if !errors.Is(err, fault) || c.Idle() != 0 {
		t.Errorf("error %v, %d connections are kept: want the error of the body, none", err, c.Idle())
	}
	if n := len(<-received); n >= 300<<10 {
		t.Errorf("the upstream received %d bytes", n)
	}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
