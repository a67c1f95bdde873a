// Command reverseproxy is the least that a Go gateway does: net/http's server
// and httputil.ReverseProxy, which check nothing. scripts/bench.sh runs it beside
// certgate.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "", "`address` to listen on")
	upstream := flag.String("upstream", "", "`URL` to forward to")
	flag.Parse()
	if err := serve(*listen, *upstream); err != nil {
		fmt.Fprintln(os.Stderr, "reverseproxy:", err)
		os.Exit(1)
	}
}

func serve(listen, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              listen,
		Handler:           newProxy(target),
		ReadHeaderTimeout: 10 * time.Second,
	}
	return server.ListenAndServe()
}

// newProxy tunes what can be: every connection to the upstream is kept, nothing
// is decompressed, and copying needs no new buffer each time.
func newProxy(target *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			MaxIdleConns:        0,
			MaxIdleConnsPerHost: 4096,
			IdleConnTimeout:     5 * time.Minute,
			DisableCompression:  true,
		},
		BufferPool: &buffers{sync.Pool{New: func() any { return new([32 << 10]byte) }}},
	}
}

// buffers is a httputil.BufferPool. Arrays behind pointers go in and out
// without an allocation, slices would not.
type buffers struct{ pool sync.Pool }

// Get returns 32 KiB, as the proxy itself would allocate for each answer.
func (b *buffers) Get() []byte {
	return b.pool.Get().(*[32 << 10]byte)[:] //nolint:errcheck,forcetypeassert // nothing else is in the pool
}

// Put takes back what Get returned.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[32 << 10]byte)(buffer)) }
