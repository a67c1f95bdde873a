// Package public serves the public HTTP surface: one health route, the public keys of
// signed assertions, and the gated reverse proxy on every other path.
//
// Its handlers are thin. They collect the inputs of the gate, pass a granted
// request to the forwarder, respond to a refusal with an RFC 9457 problem, and
// write one audit record for every request, including failed ones.
package public

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/problem"
	"github.com/certgate/certgate/internal/tracing"
)

// Options configures the surface. All fields are required, except EchoPath, Tracer and KeySet.
type Options struct {
	// Gate returns the current gate. It is called once per request.
	Gate      func() *gate.Gate
	Forwarder *forward.Forwarder
	Recorder  *audit.Recorder
	Log       *zap.Logger
	// Provenance determines which forwarded headers and credentials of a request are
	// trusted.
	Provenance *ingress.Reader
	// Stopping reports whether the gateway is shutting down. While it is true, health
	// checks fail, so that load balancers send new requests to other instances.
	Stopping func() bool
	// Draining reports whether connections are being closed. It becomes true only
	// after Stopping.
	Draining func() bool
	// EchoPath is the path that package echo serves, together with its subpaths, to
	// any verified client. Empty disables the echo.
	EchoPath string
	// Tracer makes a span for each request that has an audit record, except for those that
	// never reach a handler. Nil makes none.
	Tracer *tracing.Tracer
	// KeySet returns the JWK set of signed assertions, which is served at [jwks.Path]
	// without the gate. With nil the path is gated like every other path.
	KeySet func() []byte
}

func (s *surface) gated(c *gin.Context) {
	x := s.newExchange()
	x.body = s.Forwarder.Body(c.Writer, c.Request)
	s.Recorder.Enter()
	defer s.end(x)
	x.begin(s, c)
	if refused := s.Recorder.Refusal(); refused != nil {
		x.refuse(refused)
		return
	}
	credential, refused := s.Provenance.Credential(c.Request.Header, x.from.Peer)
	if refused != nil {
		x.refuse(refused)
		return
	}
	gateRequest := gate.Request{
		Time:       x.record.Time,
		Credential: credential.Values,
		Source:     x.from.Source,
		Method:     c.Request.Method,
		Target:     c.Request.RequestURI,
		Auth:       credential.Auth,
		Authority:  x.from.Metadata.Host,
		Header:     c.Request.Header,
		HasBody:    c.Request.ContentLength != 0,
		Body:       x.body,
	}
	if s.EchoPath != "" && below(s.EchoPath, gateRequest.Target) {
		x.echo(gateRequest)
		return
	}
	d := s.Gate().Decide(gateRequest)
	x.record.ApplyDecision(&d)
	if d.Refusal != nil {
		x.refuse(s.Provenance.AddHint(d.Refusal))
		return
	}
	x.forward(&d)
}

// exchange is one request with its origin, its body and its audit record.
type exchange struct {
	*surface
	c      *gin.Context
	from   ingress.Origin
	body   *body.Body // of a gated request
	record audit.Record
}

// newExchange returns a zero exchange for a gated request. The caller must end it after the
// last use.
func (s *surface) newExchange() *exchange {
	if x, ok := s.exchanges.Get().(*exchange); ok {
		return x
	}
	return new(exchange)
}

// end releases the body, clears the exchange, so that it keeps nothing of its request, and
// makes it available to the next request. Everything that outlives the request has copies.
func (s *surface) end(x *exchange) {
	x.body.Release()
	s.Recorder.Leave()
	*x = exchange{}
	s.exchanges.Put(x)
}

// begin initializes all fields but the body in place, because an exchange is too large to be
// copied.
func (x *exchange) begin(s *surface, c *gin.Context) {
	x.surface, x.c, x.record.Time = s, c, time.Now()
	if s.Draining() {
		c.Writer.Header().Set("Connection", "close")
	}
	r := c.Request
	s.Provenance.Origin(r.Context(), &x.from, r.Header, r.RemoteAddr, r.Host)
	x.record.RequestID, x.record.Source = x.from.Metadata.RequestID, x.from.SourceText
	if s.Tracer != nil {
		x.from.Metadata.Span = s.Tracer.Start(x.from.Caller, x.record.Time)
	}
	tracing.Identify(&x.record, x.from.Caller, x.from.Metadata.Span)
	x.record.Method, x.record.Path = r.Method, audit.PathWithoutQuery(r.RequestURI)
}

// refuse responds with the refusal and records it.
func (x *exchange) refuse(d *refusal.Error) { x.finish(audit.Refused, d) }

// forward forwards the request to the upstream and records the result.
func (x *exchange) forward(d *gate.Decision) {
	x.from.Metadata.Auth, x.from.Metadata.SignaturesRead = d.Auth, d.LooksAtSignatures()
	if d.Authority != "" { // the authority that the signature covers takes precedence over Host
		x.from.Metadata.Host = d.Authority
	}
	result := x.Forwarder.Forward(x.c.Writer, x.c.Request, x.body, d.Grant, &x.from.Metadata)
	x.record.Status, x.record.BytesIn, x.record.BytesOut = result.Status, result.BytesIn, result.BytesOut
	x.record.Upstream = result.Upstream
	refused := refusal.Of(result.Err)
	switch {
	case refused == nil && result.Err != nil:
		x.fail(refusal.New(refusal.Internal, "%v", result.Err))
	case refused == nil:
		// Without this call Gin replaces an empty 404 with its own page.
		x.c.Writer.WriteHeaderNow()
		x.save(audit.Allowed, nil)
	case result.Status == 0 && (refused.Reason == refusal.BodyTooLarge || refused.Reason == refusal.RequestMalformed):
		x.refuse(refused)
	default:
		x.fail(refused)
	}
}

// fail responds with the refusal if no part of a response has been sent. Otherwise it
// aborts the connection, which is the only remaining signal to the client.
func (x *exchange) fail(d *refusal.Error) {
	if x.record.Status != 0 || x.c.Writer.Written() {
		x.save(audit.Failed, d)
		panic(http.ErrAbortHandler)
	}
	x.finish(audit.Failed, d)
}

func (x *exchange) finish(decision audit.Decision, d *refusal.Error) {
	write(x.c, problem.Problem{
		Reason: d.Reason, Status: d.Reason.Status(), RequestID: x.from.Metadata.RequestID, Hint: d.Hint,
		Header: x.Provenance.CredentialHeader, AcceptSignature: d.AcceptSignature, RetryAfter: d.RetryAfter,
	})
	x.record.Status, x.record.BytesOut = d.Reason.Status(), int64(max(x.c.Writer.Size(), 0))
	x.save(decision, d)
}

func (x *exchange) save(decision audit.Decision, d *refusal.Error) {
	x.record.Decision = decision
	if d != nil {
		x.record.Reason, x.record.Detail = d.Reason, d.Detail
	}
	x.record.Duration = time.Since(x.record.Time)
	x.Recorder.Record(&x.record)
	x.from.Metadata.Span.End(&x.record)
}
