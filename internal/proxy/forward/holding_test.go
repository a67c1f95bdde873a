package forward_test

import (
	"context"
	"iter"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// A serving selects the server that receives a request.
type serving string

// everyRoute yields each test for each server and each route.
func everyRoute[T any](tests []T) iter.Seq2[[2]string, T] {
	return func(yield func([2]string, T) bool) {
		for _, s := range []serving{fastPath, bare} {
			for w, tt := range allRoutes(tests) {
				if !yield([2]string{string(s), string(w)}, tt) {
					return
				}
			}
		}
	}
}

// kept is the result of holding a request's body.
type kept struct {
	body   string
	err    error
	length int64 // ContentLength of the request afterwards; -1 means unknown
}

// holding is a gateway that buffers the body of every request before forwarding it.
type holding struct {
	gateway

	t         *testing.T
	forwarder *forward.Forwarder
	held      chan kept
}

type holdOptions struct {
	options

	serving serving
	// between, if set, is called after the attempt to hold the body and before the request
	// is forwarded.
	between func(r *http.Request, b *body.Body)
}

func newHolding(t *testing.T, o holdOptions) holding {
	t.Helper()
	if o.pool == nil {
		o.pool = pool(o.upstream)
	}
	if o.maxBody == 0 {
		o.maxBody = maxBody
	}
	f := forward.New(forward.Options{Pool: o.pool, Timeout: time.Minute, MaxBodyBytes: o.maxBody, FastPath: true})
	if o.route == netHTTP {
		f.UseTransport()
	}
	h := holding{gateway: gateway{results: make(chan forward.Result, 1000)}, t: t, forwarder: f, held: make(chan kept, 1000)}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, o.between) }), ConnContext: framing.Context, ConnState: framing.State,
		MaxHeaderBytes: 64 << 10, ReadTimeout: o.readTimeout, ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
	h.addr = listen(t, s, o.serving, f)
	return h
}

// listen starts the server on loopback until the end of the test and returns its address.
func listen(t *testing.T, s *http.Server, by serving, f *forward.Forwarder) string {
	t.Helper()
	var srv interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
		Close() error
	} = s
	if by == fastPath {
		srv = server.New(s, 0)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(framing.NewListener(l, framing.Options{}))
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		_ = l.Close()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // Close does not wait for handlers
		f.Close()
		if n := f.Budget().Used(); n != 0 {
			t.Errorf("%d bytes are still held, want none", n)
		}
	})
	return l.Addr().String()
}

func (h *holding) serve(w http.ResponseWriter, r *http.Request, between func(*http.Request, *body.Body)) {
	b := h.forwarder.Body(w, r)
	defer b.Release()
	g, err := grant(r.Method, r.RequestURI)
	if err != nil {
		h.t.Errorf("grant: %v", err)
		panic(http.ErrAbortHandler)
	}
	content, err := b.Hold(r.Header.Get("X-As"))
	h.held <- kept{string(content), err, b.Length()}
	if between != nil {
		between(r, b)
	}
	read := hop
	read.SignaturesRead = true
	result := h.forwarder.Forward(w, r, b, g, &read)
	h.results <- result
	finish(w, result)
}
