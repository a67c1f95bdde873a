//go:build unix

package forward_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// BenchmarkUpload measures requests with a body over loopback, from a client with a persistent
// connection to the upstream and back. cpu-ns/op is the processor time of all three together.
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{4 << 10, 60 << 10, 256 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			up := upstream.New(b, func(_ int, c *rawhttp.Conn) {
				buf := make([]byte, 256<<10)
				for {
					if _, err := c.Head(); err != nil {
						return
					}
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(c.Reader, int64(size)), buf); err != nil {
						return
					}
					c.Send(rawhttp.Empty)
				}
			})
			g := newGateway(b, options{route: allFast, upstream: up.Addr, maxBody: 1 << 20})
			c, err := net.Dial("tcp", g.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := []byte(post([]string{"Content-Length: " + strconv.Itoa(size)}, strings.Repeat("x", size)))
			r := bufio.NewReader(c)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			start := processorTime(b)
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				res, err := http.ReadResponse(r, nil)
				if err != nil || res.StatusCode != http.StatusOK {
					b.Fatalf("response %v, %v: want 200", res, err)
				}
				<-g.results
			}
			b.ReportMetric(float64(processorTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime returns the processor time of the process in nanoseconds.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
