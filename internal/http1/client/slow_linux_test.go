package client_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// slowUpstream returns the path of a socket of an upstream that waits after the first bytes of a
// POST, while the client sends what the kernel accepts. It responds with the body.
func slowUpstream(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	upstream.Serve(t, l, func(_ int, c *rawhttp.Conn) {
		for {
			if first, _ := c.Reader.Peek(4); string(first) == "POST" {
				time.Sleep(20 * time.Millisecond)
			}
			r, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
	})
	return l.Addr().String()
}

func overUnix(o *client.Options) { o.Network = "unix" }

// TestArrivedBodyOfSlowUpstream: when the kernel accepts only a part of the request, or only the
// beginning of the body, the upstream still receives all of it in order. The shorter body is in
// memory before the request is sent.
func TestArrivedBodyOfSlowUpstream(t *testing.T) {
	c := newClient(t, slowUpstream(t), overUnix)
	get(t, c, "")
	for _, text := range []string{content(client.MaxBuffered), content(900 << 10)} {
		for _, size := range []int{4 << 10, 64 << 10, 200 << 10} {
			if err := c.SetSendBuffers(size); err != nil || c.Idle() != 1 {
				t.Fatalf("set the send buffer: %v, %d idle connections", err, c.Idle())
			}
			body := &arrivedBody{arrived: strings.NewReader(text), late: strings.NewReader("")}
			if _, have, err := post(t, c, body, len(text)); err != nil || have != text {
				t.Errorf("with a send buffer of %d bytes the upstream received %d of %d bytes, %v: want the body", size, len(have), len(text), err)
			}
		}
	}
}

// TestArrivedBodiesAtOnce: what the kernel did not accept of one body is not mixed with that of
// another request.
func TestArrivedBodiesAtOnce(t *testing.T) {
	c := newClient(t, slowUpstream(t), overUnix)
	var all sync.WaitGroup
	for i := range 16 {
		text := strings.Repeat(string(rune('a'+i)), 900<<10)
		all.Go(func() {
			body := &arrivedBody{arrived: strings.NewReader(text), late: strings.NewReader("")}
			if _, have, err := post(t, c, body, len(text)); err != nil || have != text {
				t.Errorf("request %d: %d bytes, %v: want those of the body", i, len(have), err)
			}
		})
	}
	all.Wait()
}
