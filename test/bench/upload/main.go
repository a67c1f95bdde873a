// Command upload is a service that reads the body of each request before it responds.
// nginx, the other upstream of scripts/bench.sh, responds first and discards the body
// later.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "", "`address` to listen on")
	flag.Parse()
	server := &http.Server{Addr: *listen, Handler: newUpload(), ReadHeaderTimeout: 10 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "upload:", err)
		os.Exit(1)
	}
}

// newUpload returns a handler that responds with the length of the body. It reads large
// pieces, so that the service needs less CPU time than the gateway in front of it.
func newUpload() http.HandlerFunc {
	buffers := sync.Pool{New: func() any { return new([256 << 10]byte) }}
	return func(w http.ResponseWriter, r *http.Request) {
		buffer := buffers.Get().(*[256 << 10]byte) //nolint:errcheck,forcetypeassert // nothing else is in the pool
		defer buffers.Put(buffer)
		var length int
		for {
			n, err := r.Body.Read(buffer[:])
			length += n
			if err == io.EOF {
				break
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		fmt.Fprintln(w, length) //nolint:gosec // a number
	}
}
