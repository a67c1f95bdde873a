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
	// answerTimeout is more than the gateway's UPSTREAM_TIMEOUT has by default.
	answerTimeout = 60 * time.Second
	// idleConnTimeout is less than what load balancers commonly have, so that
	// they are seldom the first to close.
	idleConnTimeout = 45 * time.Second
	idleConns       = 64
)

// newBase is what sends to the gateway.
func newBase(o Options) *http.Transport {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout:       idleConnTimeout,
		MaxIdleConnsPerHost:   idleConns,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // what the program did not ask for
	}
	if o.Target.Scheme == "https" { // in plain text a proxy would read the certificate
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// newProxy sends requests by the transport, which signs.
func (a *Agent) newProxy(signing http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        a.rewrite,
		Transport:      signing,
		FlushInterval:  -1, // answers may be streams of events
		BufferPool:     &buffers{},
		ModifyResponse: a.answered,
		ErrorHandler:   a.failed,
	}
}

// ServeHTTP answers a local program.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	state := stateOf(a.keeper.current.Load(), a.options.Now())
	switch {
	case !strings.HasPrefix(r.RequestURI, "/"): // a proxy's form, or OPTIONS *
		a.refuse(w, r, invalid(), errors.New(`want a request target that begins with "/"`))
	case !a.guard.know(r.Host):
		a.refuse(w, r, hostUnknown(), nil)
	case a.guard.isForeign(r):
		a.refuse(w, r, crossOrigin(), nil)
	case path == "/healthz":
		a.health(w, state)
	case !state.usable():
		a.refuse(w, r, state.refusal(), nil)
	default:
		a.proxy.ServeHTTP(w, prepare(r))
	}
}

// health says whether requests can be signed. Whether the gateway takes them, its
// own health and answers tell.
func (a *Agent) health(w http.ResponseWriter, s state) {
	if refusal := s.refusal(); refusal != nil {
		refusal.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"status":"ok","not_after":"`+
		a.keeper.current.Load().Certificate().NotAfter.UTC().Format(time.RFC3339)+"\"}\n")
}

// trip is what is learned on the way of one request.
type trip struct {
	connected atomic.Bool // there was a connection to send it on
}

type tripKey struct{}

// prepare watches for the connection, and for whose fault it is when there is no
// body.
func prepare(r *http.Request) *http.Request {
	t := &trip{}
	ctx := context.WithValue(r.Context(), tripKey{}, t)
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}))
	r.Body = body{r.Body}
	return r
}

// body is a request's, whose errors are the program's.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError says that the program did not send its body.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// rewrite addresses the request to the target. ReverseProxy has taken out what
// concerns the connection, and what forwards somebody's address.
func (a *Agent) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = a.url(p.In.RequestURI)
	p.Out.Host = ""
	// The gateway changes no protocol, and a body is at hand before it is sent.
	for _, name := range []string{"Connection", "Upgrade", "Te", "Expect"} {
		p.Out.Header.Del(name)
	}
}

// url is the target with the path and query byte for byte as received: what they
// mean, the gateway judges.
func (a *Agent) url(raw string) *url.URL {
	path, query, has := strings.Cut(raw, "?")
	u := &url.URL{Scheme: a.options.Target.Scheme, Host: a.options.Target.Host, RawQuery: query, ForceQuery: has && query == ""}
	decoded, err := url.PathUnescape(path)
	if err == nil {
		u.Path, u.RawPath = decoded, path
	}
	// Package url escapes what it finds odd, unless it is opaque; and that must not
	// begin with two slashes.
	if u.EscapedPath() != path && !strings.HasPrefix(path, "//") {
		u.Opaque = path
	}
	return u
}

// answered logs the gateway's answer, and louder when that is about the credential.
func (a *Agent) answered(res *http.Response) error {
	fields := []zap.Field{zap.String("method", res.Request.Method), zap.String("path", res.Request.URL.Path), zap.Int("status", res.StatusCode)}
	challenge := res.Header.Get("WWW-Authenticate")
	if res.StatusCode == http.StatusUnauthorized && strings.HasPrefix(challenge, "Certificate ") {
		a.log.Warn("the gateway refuses the credential", append(fields, zap.String("challenge", challenge))...)
		return nil
	}
	a.log.Debug("answered", fields...)
	return nil
}

// failed answers when the gateway did not.
func (a *Agent) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the program has gone
		panic(http.ErrAbortHandler)
	}
	t, _ := r.Context().Value(tripKey{}).(*trip)
	a.refuse(w, r, refusalOf(err, t != nil && t.connected.Load()), err)
}

// refuse answers in the gateway's place. The error may be nil.
func (a *Agent) refuse(w http.ResponseWriter, r *http.Request, why *refusal, err error) {
	fields := []zap.Field{zap.String("method", r.Method), zap.String("host", r.Host), zap.Int("status", why.status), zap.String("reason", why.reason)}
	if r.URL != nil {
		fields = append(fields, zap.String("path", r.URL.Path))
	}
	a.log.Warn("refused", append(fields, zap.Error(err))...)
	why.write(w)
}

// buffers lends what answers are copied with.
type buffers struct{ pool sync.Pool }

// Get is a buffer of 32 KiB.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

// Put takes it back.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
