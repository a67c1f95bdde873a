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

// BenchmarkRequest is the whole way of a request over loopback, from a client
// that keeps its connection to the upstream and back, and whose certificate is
// remembered if it is good: what certgate costs.
func BenchmarkRequest(b *testing.B) {
	w := newWorld(b)
	for _, bb := range []struct {
		name, request string
		want          int
	}{
		{"granted", request("POST /events HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "Content-Length: 2") + "{}", http.StatusOK},
		{"untrusted", request("POST /events HTTP/1.1", "X-SSL-Auth: "+encode(w.other), "Content-Length: 2") + "{}", http.StatusForbidden},
		{"missing", request("POST /events HTTP/1.1", "Content-Length: 2") + "{}", http.StatusUnauthorized},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newBench(b, remembering)
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

func remembering(b *bench) {
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

// BenchmarkRefusal is hot when somebody floods: all of a refusal but the server.
func BenchmarkRefusal(b *testing.B) {
	handler := NewHandler(newBench(b, nil).options)
	r := httptest.NewRequest(http.MethodPost, "/events", http.NoBody)
	r = r.WithContext(framing.Context(r.Context(), new(framing.Conn)))
	b.ReportAllocs()
	for b.Loop() {
		var w nobody
		if handler.ServeHTTP(&w, r); w.status != http.StatusUnauthorized {
			b.Fatalf("status %d", w.status)
		}
	}
}

// nobody reads an answer.
type nobody struct {
	header http.Header
	status int
}

func (w *nobody) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *nobody) WriteHeader(status int)      { w.status = status }
func (w *nobody) Write(p []byte) (int, error) { return len(p), nil }
