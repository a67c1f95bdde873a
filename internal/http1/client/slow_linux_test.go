package client_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestArrivedBodyOfSlowUpstream: when the kernel accepts only a part of the request, or only the
// beginning of the body, the upstream still receives all of it in order.
func TestArrivedBodyOfSlowUpstream(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 1)
	upstream.Serve(t, l, func(_ int, c *rawhttp.Conn) {
		reader := bufio.NewReader(c)
		for {
			if first, _ := reader.Peek(4); string(first) == "POST" {
				time.Sleep(20 * time.Millisecond) // the client sends what the kernel accepts
			}
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			received <- string(body)
			c.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := newClient(t, l.Addr().String(), func(o *client.Options) { o.Network = "unix" })
	get(t, c, "")
	<-received
	text := content(900 << 10)
	for _, size := range []int{4 << 10, 64 << 10, 200 << 10} {
		if err := c.SetSendBuffers(size); err != nil || c.Idle() != 1 {
			t.Fatalf("set the send buffer: %v, %d idle connections", err, c.Idle())
		}
		body := &arrivedBody{arrived: strings.NewReader(text), late: strings.NewReader("")}
		if _, _, err := post(t, c, body, len(text)); err != nil {
			t.Fatal(err)
		}
		if have := <-received; have != text {
			t.Errorf("with a send buffer of %d bytes the upstream received %d other bytes, want the body of %d", size, len(have), len(text))
		}
	}
}
