// Package forward sends a granted request to the upstream and copies the response to the
// client.
//
// The request is built from the grant: method, path and query are the bytes that the
// access decision was made on, and the identity is the one of the verified certificate.
// Only the body and the fields that cannot be mistaken for the gateway's own are taken
// from the client's request.
package forward

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/tracing"
)

// Options configure a [Forwarder]. All fields are required, except Dialer,
// CredentialHeaders, FastPath, Signer and Observe.
type Options struct {
	// Pool contains the addresses of the upstream, all of them with the same scheme.
	Pool *upstream.Pool
	// Dialer opens the connections that need TLS and those of net/http's transport. The
	// default trusts the CAs of the system and has no client certificate.
	Dialer *dialer.Dialer
	// Timeout bounds connecting, each write, and the wait for the response header after
	// the request was sent.
	Timeout time.Duration
	// MaxBodyBytes bounds the request body.
	MaxBodyBytes int64
	// CredentialHeaders are removed from every request, and listed in the Vary field of
	// every response. Empty names are ignored.
	CredentialHeaders []string
	// FastPath selects the HTTP/1.1 client of http1/client for plain requests to an upstream
	// without TLS, on systems that support it. Otherwise net/http sends every request.
	FastPath bool
	// Signer returns the current signer of assertions, or nil. It is called once for each
	// request that has a place at the upstream. A nil function means no assertions.
	Signer func() *assertion.Signer
	// Observe, if set, is called after each attempt to send a request to an address. It is
	// called by many goroutines at once and must not block.
	Observe func(Attempt)
}

// Forwarder sends requests to one upstream over pooled connections. It is safe for
// concurrent use. [New] makes one.
type Forwarder struct {
	pool       *upstream.Pool
	transports []*http.Transport // by address
	clients    []*client.Client  // of the fast path, by address; nil without it
	bodies     body.Options
	filter     Filter
	vary       *Vary
	signer     func() *assertion.Signer
	observe    func(Attempt)
	buffers    sync.Pool // of *[bufferSize]byte
	requests   sync.Pool // of *client.Request that have been sent
}

// New makes a Forwarder. Close its idle connections with [Forwarder.Close].
func New(o Options) *Forwarder {
	f := &Forwarder{
		pool:       o.Pool,
		transports: newTransports(o),
		bodies: body.Options{
			MaxBytes: o.MaxBodyBytes, Budget: body.NewBudget(body.DefaultBudget()), CheckCapacity: o.Pool.CheckCapacity,
		},
		filter:  NewFilter(o.CredentialHeaders),
		vary:    NewVary(o.CredentialHeaders),
		signer:  o.Signer,
		observe: o.Observe,
	}
	if f.observe == nil {
		f.observe = func(Attempt) {}
	}
	if f.signer == nil {
		f.signer = func() *assertion.Signer { return nil }
	}
	if o.FastPath && client.Supported {
		f.clients = newClients(o.Pool, o.Timeout)
	}
	return f
}

// CloseOutdated closes idle connections after a call of [dialer.Dialer.Replace]. A connection
// in use is closed before its next request.
func (f *Forwarder) CloseOutdated() {
	for _, transport := range f.transports {
		transport.CloseIdleConnections()
	}
}

// HeldBytes returns how many bytes of request bodies are held in memory, and the maximum.
func (f *Forwarder) HeldBytes() (held, capacity int64) {
	return f.bodies.Budget.Used(), f.bodies.Budget.Limit()
}

// Close closes the idle connections.
func (f *Forwarder) Close() {
	f.CloseOutdated()
	for _, c := range f.clients {
		c.CloseIdleConnections()
	}
}

// Body returns the body of r, within the limits of the Forwarder. The caller passes it to
// [Forwarder.Forward] and calls its Release method before the handler returns.
func (f *Forwarder) Body(w http.ResponseWriter, r *http.Request) *body.Body {
	return body.New(w, r, &f.bodies)
}

// Metadata contains what the gateway adds to a request besides the identity of the grant.
type Metadata struct {
	RequestID string
	// Auth is how the client proved possession of its key: "bearer", "signed" or "mtls".
	Auth string
	// Assertion is the signed assertion about the request, or empty. [Forwarder.Forward]
	// ignores it and makes its own.
	Assertion string
	// For, Proto and Host become X-Forwarded-For, -Proto and -Host.
	For, Proto, Host string
	// SignaturesRead reports that the gateway has evaluated the signature fields of the
	// request. They are not forwarded then. See [headers.IsSignature].
	SignaturesRead bool
	// Span is the span of the request, or nil. Each attempt to send the request becomes a
	// span below it.
	Span *tracing.Span
}

// Result describes a forwarded request.
type Result struct {
	// Status is the status of the response, or 0 when no response was sent to the client.
	Status            int
	BytesIn, BytesOut int64
	// Upstream is the address that was tried last, as host:port. It is empty when no
	// address was tried, and when the upstream has one address only.
	Upstream string
	// Err is a *refusal.Error that the caller has to send to the client when Status is 0.
	// With a Status it reports that the response is incomplete, and the caller has to
	// abort the connection.
	Err error
}

// Forward sends the request with body b, which is the [Forwarder.Body] of r, and copies the
// response to w. It refuses an invalid grant, so no request is forwarded without one. It
// changes neither r nor its header nor the metadata. The caller must not use r, its URL or its header
// after the handler has returned, because the server may use their memory for another request. A
// request that exceeds the capacity is refused before its body is read, unless the last free place is
// taken meanwhile.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, b *body.Body, g access.Grant, metadata *Metadata) Result {
	if !g.Valid() {
		return Result{Err: refusal.New(refusal.Internal, "want a grant, found none")}
	}
	listed, err := headers.ParseConnection(r.Header[headers.Connection])
	if err != nil {
		return Result{Err: refusal.New(refusal.RequestMalformed, "%v", err)}
	}
	out := &outboundRequest{r: r, g: g, client: g.Client().Name(), metadata: metadata, body: b, listed: listed}
	if refused := b.Refuse(out.client); refused != nil {
		return Result{Err: refused}
	}
	defer f.end(out)
	result := Result{Err: f.send(out)}
	b.CloseIfIncomplete()
	if result.Err == nil {
		result.Status, result.BytesOut, result.Err = f.respond(w, out)
		out.call.End(out.res.Status, result.Err)
	}
	result.BytesIn = b.BytesRead()
	if f.pool.Len() > 1 {
		result.Upstream = out.reservation.Name()
	}
	return result
}

// end ends the exchange. The response must not be used any more.
func (f *Forwarder) end(out *outboundRequest) {
	if out.res.Body != nil {
		_ = out.res.Body.Close()
	}
	if out.buffered != nil {
		_ = out.buffered.ReadBody(nil, 0) // drops the reference to the client's body
		f.requests.Put(out.buffered)
	}
	out.reservation.Release()
	out.body.End()
}

// respond copies the response to w. It returns the status of the response and the length of
// its body. The status is 0 if no response was sent.
func (f *Forwarder) respond(w http.ResponseWriter, out *outboundRequest) (status int, n int64, err error) {
	if out.res.Status < http.StatusOK {
		return 0, 0, refusal.New(refusal.UpstreamFailed, "want a final status, found %d", out.res.Status)
	}
	listed, err := headers.ParseConnection(out.res.values(headers.Connection))
	if err != nil {
		return 0, 0, refusal.New(refusal.UpstreamFailed, "%v", err)
	}
	n, err = f.writeResponse(w, listed, out)
	if err != nil {
		err = asRefusal(out.body, err)
	}
	return out.res.Status, n, err
}

// asRefusal returns the refusal in err, or the one for a failed exchange.
func asRefusal(b *body.Body, err error) *refusal.Error {
	if refused := refusal.Of(err); refused != nil {
		return refused
	}
	return failure(b, err)
}

// failure returns the refusal for a failed exchange: the client's fault if it has one,
// otherwise the upstream's. The error text of the upstream goes into the log only.
func failure(b *body.Body, err error) *refusal.Error {
	if refused := b.ClientFault(); refused != nil {
		return refused
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return refusal.New(refusal.UpstreamTimeout, "%v", err)
	}
	return refusal.New(refusal.UpstreamFailed, "%v", err)
}
