package extauth

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/problem"
)

// Status returns the HTTP status of a refusal for this reason: 401 if that is the status
// of the reason, else 403. nginx's auth_request supports only these two, and every proxy
// treats both as a refusal.
func Status(r refusal.Reason) int {
	if r.Status() == http.StatusUnauthorized {
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// NewHandler returns the handler for proxies that send checks over HTTP. It is safe for
// concurrent use. Requests must arrive through a [framing.Listener]; other requests are
// refused as ambiguous.
//
//	/verify           any method; the header describes the original request, see
//	                  describe. 200 with the identity headers and no body, or a
//	                  problem with [Status] and X-Certgate-Reason
//	all other paths   403
//
// The handler does not read request bodies.
func NewHandler(o Options) http.Handler { return newEngine(o) }

func newEngine(o Options) *gin.Engine {
	s := &surface{o}
	e := gin.New()
	e.RedirectTrailingSlash = false
	// Gin must not interpret forwarded headers; package ingress does that.
	_ = e.SetTrustedProxies(nil)
	e.Use(gin.CustomRecoveryWithWriter(nil, s.recovered), s.checkFraming)
	e.Any("/verify", s.verify)
	e.NoRoute(func(c *gin.Context) {
		q := s.begin(c)
		q.refuse(c, refusal.New(refusal.RequestMalformed, "want the path /verify"))
	})
	return e
}

type surface struct{ Options }

func (s *surface) recovered(c *gin.Context, reason any) {
	s.Log.Error("panic in a handler", zap.Any("panic", reason), zap.Stack("stack"))
	q := s.begin(c)
	q.refuse(c, refusal.New(refusal.Internal, "a handler panicked"))
}

// checkFraming refuses a request with an ambiguous body length, because the next request
// on the connection could be part of a client's body. It also refuses a request whose
// Connection fields list more options than the limit.
func (s *surface) checkFraming(c *gin.Context) {
	var refused *refusal.Error
	if ambiguous := framing.Begin(c.Request); ambiguous {
		c.Header("Connection", "close")
		refused = refusal.New(refusal.RequestAmbiguous, "Content-Length and Transfer-Encoding contradict or repeat each other")
	} else if _, err := headers.ParseConnection(c.Request.Header[headers.Connection]); err != nil {
		refused = refusal.New(refusal.RequestMalformed, "%v", err)
	}
	if refused != nil {
		q := s.begin(c)
		q.refuse(c, refused)
		return
	}
	c.Next()
}

func (s *surface) begin(c *gin.Context) authzCheck {
	if s.Draining() || c.Request.ProtoMajor != 1 {
		c.Header("Connection", "close")
	}
	r := c.Request
	var from ingress.Origin
	s.Provenance.Origin(r.Context(), &from, r.Header, r.RemoteAddr, r.Host)
	return beginCheck(&s.Options, from, audit.Record{
		Time: time.Now(), Surface: audit.Verify,
		Method: r.Method, Path: audit.PathWithoutQuery(r.RequestURI), // replaced when the original request is known
	})
}

func (s *surface) verify(c *gin.Context) {
	q := s.begin(c)
	s.Recorder.Enter()
	defer s.Recorder.Leave()
	d := q.decide(func() (request, *refusal.Error) { return describe(c.Request.Header) })
	if d.Refusal != nil {
		q.refuse(c, q.Provenance.AddHint(d.Refusal))
		return
	}
	q.allow(c, d)
}

func (q *authzCheck) allow(c *gin.Context, d gate.Decision) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	forward.Identity(d.Grant, q.from.Metadata, h.Set)
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
	q.save(http.StatusOK, nil)
}

func (q *authzCheck) refuse(c *gin.Context, d *refusal.Error) {
	if d.Reason == refusal.PeerUntrusted {
		c.Header("Connection", "close")
	}
	p := problem.Problem{
		Reason: d.Reason, Status: Status(d.Reason), RequestID: q.from.Metadata.RequestID, Hint: d.Hint,
		Header: q.Provenance.CredentialHeader, AcceptSignature: d.AcceptSignature, RetryAfter: d.RetryAfter,
	}
	p.SetHeader(c.Writer.Header())
	c.Header(headers.Reason, string(d.Reason)) // for proxies that do not pass on the body
	c.Abort()
	c.Data(p.Status, problem.ContentType, p.Document())
	q.record.BytesOut = int64(max(c.Writer.Size(), 0))
	q.save(p.Status, d)
}
