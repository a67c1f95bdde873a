//go:build linux

// Command fastpath forwards requests with the server and the client of internal/http1, and
// nothing between them: no rule, log line or metric, and no check of the certificate, whose
// header it removes as certgate does. Its CPU time is that part of certgate's which HTTP itself
// needs. scripts/bench.sh compares certgate with it.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
)

const timeout = 30 * time.Second

func main() {
	listen := flag.String("listen", "", "`address` to listen on")
	upstream := flag.String("upstream", "", "`address` to forward to, as host:port")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "fastpath:", serve(*listen, *upstream))
	os.Exit(1)
}

// serve forwards requests until an error.
func serve(listen, upstream string) error {
	local, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", local)
	if err != nil {
		return err
	}
	fallback := &http.Server{
		Handler: newProxy(upstream), ConnState: framing.State,
		ReadHeaderTimeout: timeout, IdleTimeout: timeout, MaxHeaderBytes: 64 << 10,
	}
	s := server.New(fallback, timeout)
	s.Intern = (&values{seen: map[string]string{}}).intern
	return s.Serve(framing.NewListener(listener, framing.Options{WriteTimeout: timeout}))
}

// values holds each long field value once, as certgate holds those of verified certificates.
type values struct {
	mu   sync.RWMutex
	seen map[string]string
}

func (v *values) intern(value []byte) (string, bool) {
	v.mu.RLock()
	text, ok := v.seen[string(value)]
	v.mu.RUnlock()
	if ok {
		return text, true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[string(value)] = string(value)
	return "", false
}

// fieldsWriter is the ResponseWriter of the server.
type fieldsWriter interface {
	http.ResponseWriter
	WriteFields(status int, length int64, fields []client.Field)
	ReuseRequest()
}

// proxy forwards requests, whose bodies must have a known length, to one upstream.
type proxy struct {
	upstream string
	client   *client.Client
	requests sync.Pool // of *client.Request
}

func newProxy(upstream string) *proxy {
	return &proxy{
		upstream: upstream,
		client: client.New(client.Options{
			Network: "tcp", Addr: upstream, Timeout: timeout, MaxIdle: 4096, MaxHeaderBytes: 64 << 10,
		}),
		requests: sync.Pool{New: func() any { return new(client.Request) }},
	}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, _ := p.requests.Get().(*client.Request)
	defer p.requests.Put(out)
	if err := p.forward(w.(fieldsWriter), r, out); err != nil { //nolint:errcheck,forcetypeassert // no other server is used
		fmt.Fprintln(os.Stderr, "fastpath:", err)
		panic(http.ErrAbortHandler)
	}
}

// forward sends the request as out, and copies the response to w.
func (p *proxy) forward(w fieldsWriter, r *http.Request, out *client.Request) error {
	if err := out.ReadBody(r.Body, r.ContentLength); err != nil {
		return err
	}
	out.Begin(r.Method, r.RequestURI, p.upstream)
	for name, values := range r.Header {
		if framesMessage(name) || name == "X-Ssl-Auth" {
			continue
		}
		for _, value := range values {
			out.Field(name, value)
		}
	}
	out.End()
	res, err := p.client.Do(r.Context(), out, time.Now())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fields := slices.DeleteFunc(res.Fields, func(f client.Field) bool { return framesMessage(f.Name) })
	if _, complete := out.Body(); complete {
		w.ReuseRequest()
	}
	w.WriteFields(res.Status, res.Length, fields)
	content, whole := res.Buffered()
	if _, err = w.Write(content); err == nil && !whole {
		_, err = io.Copy(w, res.Body)
	}
	return err
}

// framesMessage reports whether each connection has its own field with this name.
func framesMessage(name string) bool { return name == "Content-Length" || name == "Connection" }
