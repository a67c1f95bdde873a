package public

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/http1/framing"
)

// BenchmarkRequest measures a complete request over loopback: from a client with a
// persistent connection to the upstream and back. A valid certificate is in the cache. The
// benchmark of package otlp measures spans.
func BenchmarkRequest(b *testing.B) {
	w := newCertificates(b)
	for _, bb := range []struct {
		name, request string
		want          int
	}{
		{"granted", request("POST /events HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "Content-Length: 2") + "{}", http.StatusOK},
		{"untrusted", request("POST /events HTTP/1.1", "X-SSL-Auth: "+encode(w.other), "Content-Length: 2") + "{}", http.StatusForbidden},
		{"missing", request("POST /events HTTP/1.1", "Content-Length: 2") + "{}", http.StatusUnauthorized},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newFixture(b, withCache)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for r := range s.requests {
					_ = r
				}
			}()
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				exchangeOnce(b, c, r, bb.request, bb.want)
			}
			c.Close()
			s.end()
			close(s.requests)
			<-drained
		})
	}
}

func withCache(b *fixture) {
	g := b.options.Gate()
	g.Identifier = certcache.New(g.Identifier)
}

func exchangeOnce(b *testing.B, c io.Writer, r *bufio.Reader, request string, want int) {
	b.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != want {
		b.Fatalf("status %d, %v: want %d", res.StatusCode, err, want)
	}
}

// BenchmarkRefusal measures the handler of a refused request without the HTTP server.
// This path determines the cost of a flood of requests.
func BenchmarkRefusal(b *testing.B) {
	handler := NewHandler(newFixture(b, nil).options)
	r := httptest.NewRequest(http.MethodPost, "/events", http.NoBody)
	r = r.WithContext(framing.Context(r.Context(), new(framing.Conn)))
	b.ReportAllocs()
	for b.Loop() {
		var w discardWriter
		if handler.ServeHTTP(&w, r); w.status != http.StatusUnauthorized {
			b.Fatalf("status %d", w.status)
		}
	}
}

// discardWriter is an http.ResponseWriter that discards the body.
type discardWriter struct {
	header http.Header
	status int
}

func (w *discardWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *discardWriter) WriteHeader(status int)      { w.status = status }
func (w *discardWriter) Write(p []byte) (int, error) { return len(p), nil }
