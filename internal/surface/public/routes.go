package public

import (
	"errors"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/surface/jwks"
	"github.com/certgate/certgate/internal/surface/problem"
)

type surface struct {
	Options

	open      []route   // everything else is gated
	exchanges sync.Pool // of *exchange; allocating one for each request makes the garbage collector run more often
}

// route is a path that requires no access decision. It accepts GET and HEAD.
type route struct {
	path   string
	handle gin.HandlerFunc
}

// NewHandler returns the handler of the surface. It is safe for concurrent use.
// Requests must arrive through a [framing.Listener]; other requests are refused as
// ambiguous.
//
//	GET /healthz   200, or 503 while stopping; for load balancers, not gated
//	jwks.Path      the public keys of signed assertions, if KeySet is set; not gated
//	EchoPath       and subpaths: describes the received request to any verified client
//	all other paths are gated and forwarded
func NewHandler(o Options) http.Handler {
	e := gin.New()
	// Gin must not interpret forwarded headers; package ingress does that.
	_ = e.SetTrustedProxies(nil)
	// Gin has no routes, because it would search them, with each method, for every gated
	// request.
	e.NoRoute(newSurface(o).serve)
	return e
}

func newSurface(o Options) *surface {
	s := &surface{Options: o}
	s.open = []route{{"/healthz", s.health}}
	if s.KeySet != nil {
		s.open = append(s.open, route{jwks.Path, jwks.Handler(s.KeySet)})
	}
	return s
}

// serve handles every request.
func (s *surface) serve(c *gin.Context) {
	defer s.recover(c)
	if refused := checkFraming(c.Request); refused != nil {
		s.refuse(c, refused)
		return
	}
	path := c.Request.URL.RawPath // an open route has one spelling; other spellings of its path are gated
	if path == "" {
		path = c.Request.URL.Path
	}
	for i := range s.open {
		if s.open[i].path == path {
			s.serveOpen(c, s.open[i].handle)
			return
		}
	}
	s.gated(c)
}

// recover responds to a panic with a problem. Gin's own recovery is not used,
// because it swallows http.ErrAbortHandler: the client would then receive a
// truncated response with a regular end.
func (s *surface) recover(c *gin.Context) {
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
}

// checkFraming refuses, on every route, a request with an ambiguous body length, and a
// request whose Connection fields list more options than the limit.
func checkFraming(r *http.Request) *refusal.Error {
	if ambiguous := framing.Begin(r); ambiguous {
		return refusal.New(refusal.RequestAmbiguous, "Content-Length and Transfer-Encoding contradict or repeat each other")
	}
	if _, err := headers.ParseConnection(r.Header[headers.Connection]); err != nil {
		return refusal.New(refusal.RequestMalformed, "%v", err)
	}
	return nil
}

// serveOpen calls the handler of an open route.
func (s *surface) serveOpen(c *gin.Context, handle gin.HandlerFunc) {
	if m := c.Request.Method; m != http.MethodGet && m != http.MethodHead {
		c.Header("Allow", "GET, HEAD") // RFC 9110, section 15.5.6
		s.refuse(c, refusal.New(refusal.MethodNotAllowed, "only GET and HEAD"))
		return
	}
	handle(c)
}

// refuse responds to a request that has no exchange.
func (s *surface) refuse(c *gin.Context, refused *refusal.Error) {
	var x exchange
	x.begin(s, c)
	x.refuse(refused)
}

func (s *surface) health(c *gin.Context) {
	if s.Stopping() {
		write(c, problem.Problem{Reason: refusal.Draining, Status: refusal.Draining.Status()})
		return
	}
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusOK, "ok\n")
}
