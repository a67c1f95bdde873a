// Package public is the public HTTP surface: one health route, and behind
// every other path the gate.
//
// Its handlers are thin. They collect what the gate must know, hand a granted
// request to the forwarder, answer a refusal with an RFC 9457 problem, and
// leave one audit record for each request, whatever became of it.
package public

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/problem"
)

// Options are what the surface is made of. All fields are required, except
// EchoPath.
type Options struct {
	// Gate is the gate in force, asked once for each request.
	Gate      func() *gate.Gate
	Forwarder *forward.Forwarder
	Recorder  *audit.Recorder
	Log       *zap.Logger
	// Provenance says what is believed of a request.
	Provenance *ingress.Reader
	// Stopping reports that the gateway has been told to stop. From then on
	// health checks fail, so that load balancers send new requests elsewhere.
	Stopping func() bool
	// Draining reports that connections are being closed. It is never true
	// before Stopping is.
	Draining func() bool
	// EchoPath is what is answered by package echo, with everything below it, to
	// any verified client; empty: nothing.
	EchoPath string
}

type surface struct{ Options }

// NewHandler is the surface. It is safe for concurrent use. Requests must come
// through a [framing.Listener]: others are refused as ambiguous.
//
//	GET /healthz   200, or 503 once stopping; for the load balancer, not gated
//	EchoPath       and below: says what arrived, to any verified client
//	everything else is gated and forwarded
func NewHandler(o Options) http.Handler { return newEngine(o) }

func newEngine(o Options) *gin.Engine {
	s := &surface{o}
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	// Gin must not interpret forwarded headers; package httpapi does that itself.
	_ = e.SetTrustedProxies(nil)
	e.Use(s.recover, s.framed)
	e.Match([]string{http.MethodGet, http.MethodHead}, "/healthz", s.health)
	e.NoMethod(func(c *gin.Context) {
		var x exchange
		x.begin(s, c)
		x.refuse(refusal.New(refusal.MethodNotAllowed, "only GET and HEAD"))
	})
	// Not a wildcard route: there is no path that could be added beside it and
	// so slip past the gate.
	e.NoRoute(s.gated)
	return e
}

// recover answers a panic with a problem. It is not Gin's own: that one
// swallows http.ErrAbortHandler, and an answer that broke off would reach the
// client with a regular end.
func (s *surface) recover(c *gin.Context) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
		s.Log.Error("panic in a handler", zap.Any("panic", reason), zap.Stack("stack"))
		var x exchange
		x.begin(s, c)
		x.fail(refusal.New(refusal.Internal, "a handler panicked"))
	}()
	c.Next()
}

// framed refuses, on every route, a request whose length can be read in two ways, and
// one whose Connection fields list more options than are read.
func (s *surface) framed(c *gin.Context) {
	var refused *refusal.Error
	if ambiguous := framing.Begin(c.Request); ambiguous {
		refused = refusal.New(refusal.RequestAmbiguous, "Content-Length and Transfer-Encoding contradict or repeat each other")
	} else if _, err := headers.ParseConnection(c.Request.Header[headers.Connection]); err != nil {
		refused = refusal.New(refusal.RequestMalformed, "%v", err)
	}
	if refused != nil {
		var x exchange
		x.begin(s, c)
		x.refuse(refused)
		return
	}
	c.Next()
}

func (s *surface) health(c *gin.Context) {
	if s.Stopping() {
		write(c, problem.Problem{Reason: refusal.Draining, Status: refusal.Draining.Status()})
		return
	}
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusOK, "ok\n")
}

func (s *surface) gated(c *gin.Context) {
	var x exchange
	x.begin(s, c)
	s.Recorder.Enter()
	defer s.Recorder.Leave()
	x.body = s.Forwarder.Body(c.Writer, c.Request)
	defer x.body.Release()
	if refused := s.Recorder.Refusal(); refused != nil {
		x.refuse(refused)
		return
	}
	credential, refused := s.Provenance.Credential(c.Request.Header, x.from.Peer)
	if refused != nil {
		x.refuse(refused)
		return
	}
	asked := gate.Request{
		Time:       x.record.Time,
		Credential: credential.Values,
		Source:     x.from.Source,
		Method:     c.Request.Method,
		Target:     c.Request.RequestURI,
		Auth:       credential.Auth,
		Authority:  x.from.Hop.Host,
		Header:     c.Request.Header,
		HasBody:    c.Request.ContentLength != 0,
		Body:       x.body,
	}
	if s.EchoPath != "" && below(s.EchoPath, asked.Target) {
		x.echo(asked)
		return
	}
	d := s.Gate().Decide(asked)
	x.record.ApplyDecision(&d)
	if d.Denial != nil {
		x.refuse(s.Provenance.AddHint(d.Denial))
		return
	}
	x.forward(&d)
}

// exchange is one request and what there is to say about it in the end.
type exchange struct {
	*surface
	c      *gin.Context
	from   ingress.Origin
	body   *body.Body // of a gated request
	record audit.Record
}

// begin makes the zero value an exchange: it is too large to be handed around.
func (x *exchange) begin(s *surface, c *gin.Context) {
	x.surface, x.c, x.record.Time = s, c, time.Now()
	if s.Draining() {
		c.Writer.Header().Set("Connection", "close")
	}
	r := c.Request
	x.from = s.Provenance.Origin(r.Context(), r.Header, r.RemoteAddr, r.Host)
	x.record.RequestID, x.record.Source = x.from.Hop.RequestID, x.from.SourceText
	x.record.Method, x.record.Path = r.Method, audit.PathWithoutQuery(r.RequestURI)
}

// refuse answers with the denial and records it.
func (x *exchange) refuse(d *refusal.Error) { x.finish(audit.Refused, d) }

// forward sends the request on and records what came of it.
func (x *exchange) forward(d *gate.Decision) {
	x.from.Hop.Auth, x.from.Hop.SignaturesRead = d.Auth, d.LooksAtSignatures()
	if d.Authority != "" { // rather than what somebody has written into Host since
		x.from.Hop.Host = d.Authority
	}
	result := x.Forwarder.Forward(x.c.Writer, x.c.Request, x.body, d.Grant, x.from.Hop)
	x.record.Status, x.record.BytesIn, x.record.BytesOut = result.Status, result.BytesIn, result.BytesOut
	x.record.Upstream = result.Upstream
	refused := refusal.Of(result.Err)
	switch {
	case refused == nil && result.Err != nil:
		x.fail(refusal.New(refusal.Internal, "%v", result.Err))
	case refused == nil:
		// Gin would put its own page in the place of an empty 404.
		x.c.Writer.WriteHeaderNow()
		x.save(audit.Allowed, nil)
	case result.Status == 0 && (refused.Reason == refusal.BodyTooLarge || refused.Reason == refusal.RequestMalformed):
		x.refuse(refused)
	default:
		x.fail(refused)
	}
}

// fail answers with the denial if nothing was answered yet. When part of an
// answer is out, only a broken connection tells the client.
func (x *exchange) fail(d *refusal.Error) {
	if x.record.Status != 0 || x.c.Writer.Written() {
		x.save(audit.Failed, d)
		panic(http.ErrAbortHandler)
	}
	x.finish(audit.Failed, d)
}

func (x *exchange) finish(decision audit.Decision, d *refusal.Error) {
	write(x.c, problem.Problem{
		Reason: d.Reason, Status: d.Reason.Status(), RequestID: x.from.Hop.RequestID, Hint: d.Hint,
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
}
