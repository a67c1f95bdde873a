package lane_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/lane"
)

// A header is parsed for each request, and it is as long as its certificate.
func BenchmarkParse(b *testing.B) {
	certificate := strings.Repeat("c", 1600)
	with := func(fields ...string) []byte {
		return []byte(bodied(append([]string{"User-Agent: a/1.0", "Accept: */*", "Content-Type: application/json", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Ssl-Auth: " + certificate}, fields...)...))
	}
	benches := []struct {
		name string
		all  [][]byte
	}{
		{"the same", [][]byte{with("Content-Length: 120")}},
		{"another length", [][]byte{with("Content-Length: 120"), with("Content-Length: 7")}},
		{"another value", [][]byte{with("Content-Length: 120", "X-Number: 1"), with("Content-Length: 120", "X-Number: 2")}},
		{"other names", [][]byte{with("Content-Length: 120"), []byte(get("/a"))}},
	}
	for _, bb := range benches {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			p := new(lane.Parser)
			for i := range b.N {
				if _, _, ok := p.Parse(bb.all[i%len(bb.all)]); !ok {
					b.Fatal("not plain")
				}
			}
		})
	}
}
