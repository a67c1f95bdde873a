package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestResponseBeforeTheBody: the response of an upstream that responds and closes without
// reading the body is returned although the write fails, and the connection is closed.
func TestResponseBeforeTheBody(t *testing.T) {
	const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
	size := 32 << 20
	if testing.Short() {
		size /= 4
	}
	tests := []struct {
		name, response string
		status         int
		bad            bool
	}{
		{"response", tooLarge, http.StatusRequestEntityTooLarge, false},
		{"half a response", tooLarge[:20], 0, true},
		{"no response", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				if _, err := http.ReadRequest(c.Reader); err != nil {
					return
				}
				if n > 1 {
					c.Send(rawhttp.Empty)
					return
				}
				c.Send(tt.response) // and closes, with most of the body unread: a reset
			})
			c := newClient(t, up.Addr)
			res, _, err := exchange(t, c, http.MethodPost, strings.Repeat("x", size))
			switch {
			case tt.status != 0 && (err != nil || res.StatusCode != tt.status):
				t.Errorf("response %v, %v: want %d", res, err, tt.status)
			case tt.status == 0 && (err == nil || errors.Is(err, client.ErrBadResponse) != tt.bad):
				t.Errorf("error %v, want ErrBadResponse: %t", err, tt.bad)
			}
			get(t, c, "")
			if n := up.Conns(); n != 2 {
				t.Errorf("%d connections, want another one for the next request", n)
			}
		})
	}
}
