// Command reverseproxy is a minimal Go gateway: net/http's server and
// httputil.ReverseProxy, without any checks. scripts/bench.sh compares certgate with it.
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

// newProxy returns a proxy with settings for speed: all connections to the upstream are kept,
// responses are not decompressed, and the copy buffers are pooled.
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

// buffers is an [httputil.BufferPool]. It stores pointers to arrays, because storing slices
// would allocate.
type buffers struct{ pool sync.Pool }

// Get returns a buffer of 32 KiB, the size that the proxy would allocate for each response.
func (b *buffers) Get() []byte {
	return b.pool.Get().(*[32 << 10]byte)[:] //nolint:errcheck,forcetypeassert // nothing else is in the pool
}

// Put returns a buffer of Get to the pool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[32 << 10]byte)(buffer)) }
