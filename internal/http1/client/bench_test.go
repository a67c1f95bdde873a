package client_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// BenchmarkRoundTrip measures one request and its response.
func BenchmarkRoundTrip(b *testing.B) {
	up := upstream.New(b, func(_ int, c *rawhttp.Conn) {
		const response = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
		buf := make([]byte, 4<<10)
		for {
			if _, err := c.Read(buf); err != nil { // a request is one packet here
				return
			}
			c.Send(response)
		}
	})
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	defer transport.CloseIdleConnections()
	for _, bb := range []struct {
		name   string
		client http.RoundTripper
	}{{"lean", newClient(b, up.Addr)}, {"transport", transport}} {
		b.Run(bb.name, func(b *testing.B) {
			body := strings.Repeat("x", 120)
			b.ReportAllocs()
			for b.Loop() {
				r := request(b.Context(), http.MethodPost, body)
				r.URL.Host = up.Addr
				r.Header["X-Client-Id"] = []string{"mail"}
				r.Header["Content-Type"] = []string{"application/json"}
				res, err := bb.client.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
