package forward_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// discard is a ResponseWriter that discards the body.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkForward measures Forward, which runs once for every granted request.
func BenchmarkForward(b *testing.B) {
	up := upstream.New(b, func(_ int, c *rawhttp.Conn) {
		const response = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
		buf := make([]byte, 4<<10)
		for {
			if _, err := c.Read(buf); err != nil { // each request arrives in one packet
				return
			}
			c.Send(response)
		}
	})
	f := newForwarder(up.Addr)
	defer f.Close()
	g, err := grant(http.MethodPost, "/events")
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("x", 120)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/events", strings.NewReader(body))
		w := &discard{header: http.Header{}}
		if result := f.Forward(w, r, f.Body(w, r), g, &hop); result.Err != nil || w.status != http.StatusCreated {
			b.Fatalf("want 201, found %d and %v", w.status, result.Err)
		}
	}
}
