package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	dialTimeout = 10 * time.Second
	// responseHeaderTimeout is longer than the default of the gateway's
	// UPSTREAM_TIMEOUT, so that the gateway reports a timeout first.
	responseHeaderTimeout = 60 * time.Second
	// idleConnTimeout is shorter than that of common load balancers, so that a load
	// balancer seldom closes a connection that the agent is about to reuse.
	idleConnTimeout = 45 * time.Second
	maxIdleConns    = 64
)

// newBase returns the transport to the gateway.
func newBase(o Options) *http.Transport {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: responseHeaderTimeout,
		IdleConnTimeout:       idleConnTimeout,
		MaxIdleConnsPerHost:   maxIdleConns,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // the program sends its own Accept-Encoding
	}
	if o.Target.Scheme == "https" { // over http, a forward proxy could read the certificate
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// newProxy returns a reverse proxy that forwards requests with the signing transport.
func (a *Agent) newProxy(signer http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        a.rewrite,
		Transport:      signer,
		FlushInterval:  -1, // flush at once, because a response may be a stream of events
		BufferPool:     &bufferPool{},
		ModifyResponse: a.logResponse,
		ErrorHandler:   a.handleError,
	}
}

// ServeHTTP checks, signs and forwards the request of a local program.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	validity := validityOf(a.reloader.current.Load(), a.options.Now())
	switch {
	case !strings.HasPrefix(r.RequestURI, "/"): // absolute form, or OPTIONS *
		a.refuse(w, r, requestInvalid(), errors.New(`want a request target that begins with "/"`))
	case !a.guard.accepts(r.Host):
		a.refuse(w, r, hostUnknown(), nil)
	case a.guard.isCrossOrigin(r):
		a.refuse(w, r, crossOrigin(), nil)
	case path == "/healthz":
		a.serveHealth(w, validity)
	case validity.refusal() != nil:
		a.refuse(w, r, validity.refusal(), nil)
	default:
		a.proxy.ServeHTTP(w, withState(r))
	}
}

// serveHealth reports whether requests can be signed. It does not check the gateway, which
// has its own health check.
func (a *Agent) serveHealth(w http.ResponseWriter, v validity) {
	if refused := v.refusal(); refused != nil {
		refused.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"status":"ok","not_after":"`+
		a.reloader.current.Load().Certificate().NotAfter.UTC().Format(time.RFC3339)+"\"}\n")
}

// requestState is the state of one request while it is forwarded.
type requestState struct {
	connected atomic.Bool // true once there was a connection to the gateway
}

type requestStateKey struct{}

// withState returns the request with a [requestState] in its context, and with a body
// whose read errors are marked as [bodyError].
func withState(r *http.Request) *http.Request {
	state := &requestState{}
	ctx := context.WithValue(r.Context(), requestStateKey{}, state)
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { state.connected.Store(true) },
	}))
	r.Body = programBody{r.Body}
	return r
}

// programBody is the body of a request from the local program.
type programBody struct{ io.ReadCloser }

func (b programBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is an error of reading the body from the local program, in contrast to an
// error of the connection to the gateway.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// rewrite addresses the request to the target. ReverseProxy has already removed
// hop-by-hop fields, Forwarded and X-Forwarded-*.
func (a *Agent) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = a.targetURL(p.In.RequestURI)
	p.Out.Host = ""
	// The gateway supports no upgrades, and the body is complete before it is sent.
	for _, name := range []string{"Connection", "Upgrade", "Te", "Expect"} {
		p.Out.Header.Del(name)
	}
}

// targetURL returns the URL at the target with the path and query of the request,
// byte for byte: only the gateway decides what they mean.
func (a *Agent) targetURL(raw string) *url.URL {
	path, query, has := strings.Cut(raw, "?")
	u := &url.URL{Scheme: a.options.Target.Scheme, Host: a.options.Target.Host, RawQuery: query, ForceQuery: has && query == ""}
	decoded, err := url.PathUnescape(path)
	if err == nil {
		u.Path, u.RawPath = decoded, path
	}
	// Package url escapes some characters unless the URL is opaque, and an opaque URL
	// must not begin with two slashes.
	if u.EscapedPath() != path && !strings.HasPrefix(path, "//") {
		u.Opaque = path
	}
	return u
}

// logResponse logs the gateway's response: as a warning if the gateway refuses the
// credential, otherwise at level debug.
func (a *Agent) logResponse(res *http.Response) error {
	fields := []zap.Field{zap.String("method", res.Request.Method), zap.String("path", res.Request.URL.Path), zap.Int("status", res.StatusCode)}
	challenge := res.Header.Get("WWW-Authenticate")
	if res.StatusCode == http.StatusUnauthorized && strings.HasPrefix(challenge, "Certificate ") {
		a.log.Warn("the gateway refuses the credential", append(fields, zap.String("challenge", challenge))...)
		return nil
	}
	a.log.Debug("response", fields...)
	return nil
}

// handleError responds when the gateway sent no response.
func (a *Agent) handleError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the program has closed its connection
		panic(http.ErrAbortHandler)
	}
	state, _ := r.Context().Value(requestStateKey{}).(*requestState)
	a.refuse(w, r, refusalOf(err, state != nil && state.connected.Load()), err)
}

// refuse logs and sends a refusal. err is its cause and may be nil.
func (a *Agent) refuse(w http.ResponseWriter, r *http.Request, refused *refusal, err error) {
	fields := []zap.Field{zap.String("method", r.Method), zap.String("host", r.Host), zap.Int("status", refused.status), zap.String("reason", refused.reason)}
	if r.URL != nil {
		fields = append(fields, zap.String("path", r.URL.Path))
	}
	a.log.Warn("refused", append(fields, zap.Error(err))...)
	refused.write(w)
}

// bufferPool is the [httputil.BufferPool] with which responses are copied.
type bufferPool struct{ pool sync.Pool }

// Get returns a buffer of 32 KiB.
func (b *bufferPool) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

// Put returns a buffer to the pool.
func (b *bufferPool) Put(buffer []byte) { b.pool.Put(&buffer) }
