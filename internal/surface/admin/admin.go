// Package admin is the operator's surface: health, readiness, metrics, the log
// level and what the gateway is doing, over HTTP on a port of its own.
//
// It does not authenticate. The port must be one that only the operator and the
// operator's tools can reach, which is why ADMIN_ADDR is a loopback address by
// default. Because the browsers of that network reach it too, requests that a browser
// sends for a page of another site are refused.
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
)

// maxBody is the longest request body that is read, in bytes: a log level.
const maxBody = 1024

// Options are what the surface shows. What is not given has no route, except
// readiness: without a check nothing is ready.
type Options struct {
	Ready    func() error        // nil when requests are welcome; called for each probe, concurrently
	Gatherer prometheus.Gatherer // GET /metrics
	Level    zap.AtomicLevel     // GET and PUT /loglevel
	Log      *zap.Logger         // panics of handlers; nil drops them
	// Hosts are the names by which requests may ask for the surface, beside IP
	// addresses and localhost.
	Hosts []string
}

// NewHandler is the surface. It is safe for concurrent use.
//
//	GET /healthz    200 as long as the process answers
//	GET /readyz     200, or 503 and a problem that says why (RFC 9457)
//	GET /metrics    the metrics, for Prometheus
//	GET /loglevel   {"level":"info"}; PUT the same to change it
//
// Everything else is a 404 or 405 problem. On every route a request for an unknown host
// is a 421 problem, and one of another site's page a 403 problem: see package sameorigin.
func NewHandler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	// No proxy is trusted here. The error is about addresses, and there are none.
	_ = e.SetTrustedProxies(nil)

	e.Use(recovery(o.Log), guard, refuseForeign(sameorigin.NewHosts(o.Hosts...)))
	e.NoRoute(func(c *gin.Context) { notFound().write(c) })
	e.NoMethod(func(c *gin.Context) { ofReason(refusal.MethodNotAllowed).write(c) })
	routes(e, o)
	return e
}

func routes(e *gin.Engine, o Options) {
	probe := []string{http.MethodGet, http.MethodHead}
	e.Match(probe, "/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	e.Match(probe, "/readyz", readyz(o.Ready))
	if o.Gatherer != nil {
		e.GET("/metrics", gin.WrapH(promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{})))
	}
	if o.Level != (zap.AtomicLevel{}) {
		e.Match([]string{http.MethodGet, http.MethodPut}, "/loglevel", gin.WrapH(o.Level))
	}
}

// guard bounds what is read and forbids what could be kept.
func guard(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
}

// refuseForeign refuses what a browser sends for a page of another site.
func refuseForeign(hosts sameorigin.Hosts) gin.HandlerFunc {
	return func(c *gin.Context) {
		switch {
		case !hosts.Contains(c.Request.Host):
			hostUnknown().write(c)
		case sameorigin.IsForeign(c.Request):
			crossOrigin().write(c)
		}
	}
}

// recovery answers a panic with a problem. The log gets the panic and the
// stack, never the request's headers.
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

// notReady tells the operator everything: detail is for those who may see it.
func notReady(err error) problem {
	if refusal := refusal.Of(err); refusal != nil {
		p := ofReason(refusal.Reason)
		p.Status, p.Detail = http.StatusServiceUnavailable, refusal.Detail
		return p
	}
	return problem{
		Type: "urn:certgate:not_ready", Title: "The gateway takes no requests now",
		Status: http.StatusServiceUnavailable, Reason: "not_ready", Detail: err.Error(),
	}
}
