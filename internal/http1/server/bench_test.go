//go:build linux

package server_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// BenchmarkParse parses headers with a certificate, as every request has one.
func BenchmarkParse(b *testing.B) {
	certificate := strings.Repeat("c", 1600)
	with := func(fields ...string) []byte {
		return []byte(bodied(append([]string{"User-Agent: a/1.0", "Accept: */*", "Content-Type: application/json", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Ssl-Auth: " + certificate}, fields...)...))
	}
	benches := []struct {
		name   string
		all    [][]byte
		intern func([]byte) (string, bool)
	}{
		{"copied", [][]byte{with("Content-Length: 120")}, nil},
		{"interned", [][]byte{with("Content-Length: 120")}, func(value []byte) (string, bool) { return certificate, string(value) == certificate }},
	}
	for _, bb := range benches {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if _, _, ok := server.Parse(bb.all[i%len(bb.all)], bb.intern); !ok {
					b.Fatal("not plain")
				}
			}
		})
	}
}

// BenchmarkServe measures a whole request except the work of the handler and the client.
func BenchmarkServe(b *testing.B) {
	with, body := newSide(), make([]byte, 5)
	addr := server.New(newHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, body)
		_, _ = w.Write(body)
	}), options{}, io.Discard), rawhttp.Timeout)
	ended := make(chan error, 1)
	go func() { ended <- addr.Serve(framing.NewListener(with, framing.Options{})) }()
	served, client := sockets(b)
	with.conns <- served
	request, response := []byte(post("/a", "12345")), make([]byte, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(request); err != nil {
			b.Fatal(err)
		}
		if n, err := client.Read(response); err != nil || !bytes.HasSuffix(response[:n], []byte("\r\n\r\n12345")) {
			b.Fatalf("%q, %v", response[:n], err)
		}
	}
	_, _ = client.Close(), with.Close()
	_ = addr.Close()
	<-ended
}
