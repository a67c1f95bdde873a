// Package otlp exports spans to an OpenTelemetry collector, over OTLP/HTTP.
//
// Exporting never delays a request: finished spans wait in a bounded queue, and further
// spans are dropped and counted. The SDK of OpenTelemetry reads its own environment
// variables; the reference lists those that count.
package otlp

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/tracing"
)

// flushTimeout bounds the time that [Provider.Shutdown] waits for the collector.
const flushTimeout = 5 * time.Second

// tracesPath is the path of traces below the collector's base URL.
const tracesPath = "v1/traces"

// Options configure a [Provider]. All fields are required.
type Options struct {
	// Endpoint is the base URL of the collector, http or https.
	Endpoint *url.URL
	// Version is the version of the program.
	Version string
	// Log receives the errors of exports, at most one line per minute.
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Provider exports the spans of its tracer. It is safe for concurrent use. Use [New] to
// create one. The methods of nil do nothing.
type Provider struct {
	provider *sdktrace.TracerProvider
	tracer   *tracing.Tracer
	queue    *queue
	log      *zap.Logger
}

// New returns a Provider and registers its metrics. It does not connect to the collector. The
// caller must call [Provider.Shutdown]. New also redirects the errors that the SDK reports
// globally to the log, because the SDK would write them to standard error as text.
func New(ctx context.Context, o Options) (*Provider, error) {
	report := newReporter(o.Log)
	report.install()
	collector, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint.JoinPath(tracesPath).String()))
	if err != nil {
		return nil, fmt.Errorf("exporter of spans: %w", err)
	}
	described, err := resource.New(ctx,
		// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES replace these.
		resource.WithAttributes(attribute.String("service.name", "certgate"), attribute.String("service.version", o.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		report.log(err)
	}
	return newProvider(newQueue(collector, report, o.Registerer), described, o.Log), nil
}

// newProvider returns a Provider whose finished spans go to the queue.
func newProvider(q *queue, described *resource.Resource, log *zap.Logger) *Provider {
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithSpanProcessor(q))
	tracer := tracing.New(provider.Tracer("github.com/certgate/certgate"), q.refusesUnverified)
	return &Provider{provider, tracer, q, log}
}

// Tracer returns the tracer that makes the spans, or nil for nil.
func (p *Provider) Tracer() *tracing.Tracer {
	if p == nil {
		return nil
	}
	return p.tracer
}

// Shutdown exports the finished spans. It returns when they are exported, when ctx is done,
// or after 5 seconds, and logs the number of spans that are lost then.
func (p *Provider) Shutdown(ctx context.Context) {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := p.provider.Shutdown(ctx)
	p.queue.cancelExports()
	if err != nil { // the provider stops nothing when ctx is already done
		_ = p.queue.Shutdown(ctx)
	}
	if lost := p.queue.waiting.Load(); lost > 0 {
		p.log.Warn("spans were lost, because the collector did not accept them before the end of the drain",
			zap.Int64("spans", lost), zap.Error(err))
	}
}
