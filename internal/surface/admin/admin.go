// Package admin serves the operator's HTTP surface on a separate port: the status of the
// gateway, health, readiness, metrics and the log level.
//
// It does not authenticate. The port must be reachable only by the operator and the
// operator's tools; therefore ADMIN_ADDR is a loopback address by default. Browsers on
// that network can reach the port as well, so cross-origin requests are refused.
package admin

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/sameorigin"
	"github.com/certgate/certgate/internal/surface/jwks"
	"github.com/certgate/certgate/internal/surface/status"
)

// maxBody is the limit for a request body, in bytes. The longest valid body is a log
// level.
const maxBody = 1024

// Options configures the surface. A zero Gatherer, Level, KeySet or Status has no route. Without
// Ready, /readyz reports that the gateway is not ready.
type Options struct {
	Ready    func() error        // returns nil if the gateway accepts requests; called concurrently, once per probe
	Gatherer prometheus.Gatherer // GET /metrics
	Level    zap.AtomicLevel     // GET and PUT /loglevel
	Log      *zap.Logger         // receives panics of handlers; nil discards them
	// Hosts lists the host names that requests may use, in addition to IP addresses and
	// localhost.
	Hosts []string
	// KeySet returns the JWK set of signed assertions; GET [jwks.Path].
	KeySet func() []byte
	// Status returns the state of the gateway; GET / and GET /status.
	Status func() status.Status
}

// NewHandler returns the handler of the surface. It is safe for concurrent use.
//
//	GET /           the status as a page
//	GET /status     the status as JSON
//	GET /healthz    200 while the process responds
//	GET /readyz     200, or 503 and a problem with the cause (RFC 9457)
//	GET /metrics    the metrics, for Prometheus
//	GET /loglevel   {"level":"info"}; PUT the same format to change it
//	GET jwks.Path   the public keys of signed assertions
//
// All other requests get a 404 or 405 problem. On every route, a request for an unknown
// host gets a 421 problem and a cross-origin request a 403 problem; see package
// sameorigin.
func NewHandler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	// No proxy is trusted here. The error reports invalid addresses, and the list is
	// empty.
	_ = e.SetTrustedProxies(nil)

	e.Use(recovery(o.Log), protect, refuseCrossOrigin(sameorigin.NewHosts(o.Hosts...)))
	e.NoRoute(func(c *gin.Context) { notFound().write(c) })
	e.NoMethod(func(c *gin.Context) { ofReason(refusal.MethodNotAllowed).write(c) })
	routes(e, o)
	return e
}

func routes(e *gin.Engine, o Options) {
	probe := []string{http.MethodGet, http.MethodHead}
	e.Match(probe, "/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	e.Match(probe, "/readyz", readyz(o.Ready))
	if o.Status != nil {
		s := status.New(o.Status)
		e.Match(probe, "/", gin.WrapF(s.Page))
		e.Match(probe, "/status", gin.WrapF(s.JSON))
	}
	if o.Gatherer != nil {
		e.GET("/metrics", gin.WrapH(promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{})))
	}
	if o.KeySet != nil {
		e.Match(probe, jwks.Path, jwks.Handler(o.KeySet))
	}
	if o.Level != (zap.AtomicLevel{}) {
		e.Match([]string{http.MethodGet, http.MethodPut}, "/loglevel", gin.WrapH(o.Level))
	}
}

// protect limits the request body and forbids caching and content sniffing.
func protect(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
}

// refuseCrossOrigin refuses requests for unknown hosts and requests that a browser sends
// on behalf of another site.
func refuseCrossOrigin(hosts sameorigin.Hosts) gin.HandlerFunc {
	return func(c *gin.Context) {
		switch {
		case !hosts.Contains(c.Request.Host):
			hostUnknown().write(c)
		case sameorigin.IsForeign(c.Request):
			crossOrigin().write(c)
		}
	}
}

// recovery responds to a panic with a problem. It logs the panic and the stack, and
// never the headers of the request.
func recovery(log *zap.Logger) gin.HandlerFunc {
	return gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, reason any) {
		log.Error("panic in the operator's surface",
			zap.String("route", c.FullPath()), zap.Any("panic", reason), zap.Stack("stack"))
		if c.Writer.Written() {
			c.Abort()
			return
		}
		ofReason(refusal.Internal).write(c)
	})
}

func readyz(ready func() error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := check(ready); err != nil {
			notReady(err).write(c)
			return
		}
		c.String(http.StatusOK, "ready\n")
	}
}

var errNoCheck = errors.New("no readiness check")

func check(ready func() error) error {
	if ready == nil {
		return errNoCheck
	}
	return ready()
}

// notReady returns the problem with the full details of err, because only the operator
// can reach this surface.
func notReady(err error) problem {
	if refused := refusal.Of(err); refused != nil {
		p := ofReason(refused.Reason)
		p.Status, p.Detail = http.StatusServiceUnavailable, refused.Detail
		return p
	}
	return problem{
		Type: "urn:certgate:not_ready", Title: "The gateway takes no requests now",
		Status: http.StatusServiceUnavailable, Reason: "not_ready", Detail: err.Error(),
	}
}
