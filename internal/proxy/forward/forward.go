// Package forward sends a granted request to the upstream and its answer back.
//
// The request is built from the grant: method, path and query are the bytes
// that were decided on, and the caller's identity is the certificate's. From
// the original come only the body and those headers that nobody could mistake
// for the gateway's word.
package forward

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// Options are what a [Forwarder] needs. All fields are required, except
// CredentialHeaders.
type Options struct {
	// Pool is the addresses of the service behind, all http or all https.
	Pool *upstream.Pool
	// Timeout bounds connecting, each write, and the wait for the response
	// header after the request was sent.
	Timeout time.Duration
	// MaxBodyBytes bounds the request body.
	MaxBodyBytes int64
	// CredentialHeaders are removed from every request, and every answer names them in
	// Vary. Empty names are ignored.
	CredentialHeaders []string
	// FastPath selects the HTTP/1.1 client of http1/client for plain requests to an http
	// upstream, on systems that have it. Otherwise net/http sends every request.
	FastPath bool
}

// Forwarder talks to one service over pooled connections. It is safe for
// concurrent use.
type Forwarder struct {
	pool      *upstream.Pool
	transport *http.Transport
	lean      []*client.Client // for plain requests, by address; nil when the service has TLS
	maxBody   int64
	room      room
	headers   Filter
	vary      *Vary
	buffers   sync.Pool // of *[bufferSize]byte
	parcels   sync.Pool // of *parcel: requests that were sent
}

// New makes a Forwarder. Close its idle connections with [Forwarder.Close].
func New(o Options) *Forwarder {
	f := &Forwarder{
		pool:      o.Pool,
		transport: newTransport(o.Timeout),
		maxBody:   o.MaxBodyBytes,
		room:      newRoom(),
		headers:   NewFilter(o.CredentialHeaders),
		vary:      NewVary(o.CredentialHeaders),
	}
	if o.FastPath && client.Supported {
		f.lean = newLean(o.Pool, o.Timeout)
	}
	return f
}

// Close closes connections that are not in use.
func (f *Forwarder) Close() {
	f.transport.CloseIdleConnections()
	for _, c := range f.lean {
		c.CloseIdleConnections()
	}
}

// Hop is what the gateway itself says about a request, beside the grant.
type Hop struct {
	RequestID string
	// Auth is how possession was shown: "bearer", "signed" or "mtls".
	Auth string
	// For, Proto and Host become X-Forwarded-For, -Proto and -Host.
	For, Proto, Host string
	// SignaturesRead says that the gateway has looked at the client's signatures:
	// they are its own business, and not forwarded. See [headers.IsSignature].
	SignaturesRead bool
}

// Result is what became of a forwarded request.
type Result struct {
	// Status is the upstream's, 0 when nothing was answered yet.
	Status            int
	BytesIn, BytesOut int64
	// Upstream is the address that was tried last, as host:port; empty when
	// none was, or there is only one.
	Upstream string
	// Err is a *denial.Error that has not been answered yet when Status is 0.
	// With a Status it says that the answer broke off on its way.
	Err error
}

// Forward sends the request and copies the answer. An invalid grant is refused:
// nothing can be forwarded without one. r's body is read, its other parts are
// left alone. A request for which there is no place is refused before its body
// is read, unless the last place goes meanwhile.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, g access.Grant, hop Hop) Result {
	if !g.Valid() {
		return Result{Err: refusal.New(refusal.Internal, "want a grant, found none")}
	}
	if broken, ok := r.Body.(brokenBody); ok {
		return Result{Err: broken.refusal}
	}
	listed, err := headers.ParseConnection(r.Header[headers.Connection])
	if err != nil {
		return Result{Err: refusal.New(refusal.RequestMalformed, "%v", err)}
	}
	body := newRequestBody(r, f.maxBody)
	if refused := f.refuse(w, body, g.Client().Name()); refused != nil {
		return Result{Err: refused}
	}
	defer endReading(w, body)
	var visit upstream.Visit
	defer visit.End()
	result := f.exchange(w, &visit, &message{r, g, hop, body, listed, fastWriterOf(w)})
	result.BytesIn = body.n.Load()
	if f.pool.Len() > 1 {
		result.Upstream = visit.Name()
	}
	return result
}

// refuse returns why a request of the client is refused before its body is read, nil
// if it is not.
func (f *Forwarder) refuse(w http.ResponseWriter, body *requestBody, client string) *refusal.Error {
	if body.declared > body.limit {
		// Without it net/http would read the body before the refusal goes out.
		w.Header().Set("Connection", "close")
		return refusal.New(refusal.BodyTooLarge, "want at most %d bytes, the request declares %d", body.limit, body.declared)
	}
	return f.pool.Overloaded(client)
}

// exchange sends the message and copies the answer.
func (f *Forwarder) exchange(w http.ResponseWriter, visit *upstream.Visit, m *message) Result {
	res, err := f.send(visit, m)
	if !m.body.whole() {
		// The answer begins while the body is still being sent. Unless net/http
		// is to close behind it, it would first read the rest of the body itself,
		// and the upstream would get a body with a part missing.
		w.Header().Set("Connection", "close")
	}
	if err != nil {
		return Result{Err: err}
	}
	defer res.Body.Close()
	if res.Status < http.StatusOK {
		return Result{Err: refusal.New(refusal.UpstreamFailed, "want a final status, found %d", res.Status)}
	}
	listed, err := listedIn(res.Fields)
	if err != nil {
		return Result{Err: refusal.New(refusal.UpstreamFailed, "%v", err)}
	}
	n, err := f.answer(w, res, listed, m)
	if err != nil && refusal.Of(err) == nil {
		err = failure(m.r, m.body, err)
	}
	return Result{Status: res.Status, BytesOut: n, Err: err}
}

// linger is how long a client that still sends its body may go on after the
// answer, so that it reads the answer before its connection is reset.
const linger = 500 * time.Millisecond

// endReading ends the reading of the body. The answer may have come before all of
// it was sent; then the transport, or net/http itself before it closes, would wait
// for a client that waits for us.
func endReading(w http.ResponseWriter, body *requestBody) {
	whole := body.whole()
	_ = body.Close()
	if whole {
		return
	}
	control := http.NewResponseController(w)
	// net/http ends a Read that is under way itself, and takes our deadline off
	// with it; so it has to be over before.
	if control.SetReadDeadline(time.Unix(1, 0)) == nil {
		body.settle()
	}
	_ = control.SetReadDeadline(time.Now().Add(linger))
}

// brokenOff reports whether a body ended because the client did, and not because
// what it sent is no body.
func brokenOff(fault error) bool {
	var network *net.OpError
	return errors.Is(fault, io.ErrUnexpectedEOF) || errors.Is(fault, http.ErrBodyReadAfterClose) || errors.As(fault, &network)
}

// failure translates what the transport says. The upstream's words stay in the
// detail, for the log.
func failure(r *http.Request, body *requestBody, err error) *refusal.Error {
	fault, gone := body.fault(), r.Context().Err() != nil
	if gone {
		// A Read that fails, were it only for the deadline, cancels the request's
		// context before it returns: the reason comes after the alarm.
		fault = body.settledFault()
	}
	var timeout net.Error
	switch {
	case errors.Is(fault, errTooLarge):
		return refusal.New(refusal.BodyTooLarge, "the body ran over %d bytes", body.limit)
	case errors.As(fault, &timeout) && timeout.Timeout():
		return refusal.New(refusal.RequestTimeout, "the request body stalled: %v", fault)
	case fault != nil && !brokenOff(fault):
		return refusal.New(refusal.RequestMalformed, "the request body: %v", fault)
	case fault != nil:
		return refusal.New(refusal.ClientClosed, "the request body broke off: %v", fault)
	case gone:
		return refusal.New(refusal.ClientClosed, "the client went away")
	case errors.As(err, &timeout) && timeout.Timeout():
		return refusal.New(refusal.UpstreamTimeout, "%v", err)
	default:
		return refusal.New(refusal.UpstreamFailed, "%v", err)
	}
}
