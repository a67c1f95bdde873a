// Package tracing exports a span for each decision and for each call to the upstream to an
// OpenTelemetry collector, over OTLP/HTTP.
//
// A nil [Tracer] makes nil spans, whose methods do nothing, so that a gateway without a
// collector pays one comparison per request. Spans contain the fields of the audit record,
// with the same limits on untrusted text, and neither credentials nor queries.
//
// Exporting never delays a request: finished spans wait in a bounded queue, and further
// spans are dropped and counted. The SDK of OpenTelemetry reads its own environment
// variables; the reference lists those that count.
package tracing

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
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// flushTimeout bounds the time that [Tracer.Shutdown] waits for the collector.
const flushTimeout = 5 * time.Second

// tracesPath is the path of traces below the collector's base URL.
const tracesPath = "v1/traces"

// Options configure a [Tracer]. All fields are required.
type Options struct {
	// Endpoint is the base URL of the collector, http or https.
	Endpoint *url.URL
	// Version is the version of the program.
	Version string
	// Log receives the errors of exports, at most one line per minute.
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Tracer makes spans. It is safe for concurrent use. Use [New] to create one.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
	queue    *queue
	log      *zap.Logger
}

// New returns a Tracer and registers its metrics. It does not connect to the collector. The
// caller must call [Tracer.Shutdown]. New also redirects the errors that the SDK reports
// globally to the log, because the SDK would write them to standard error as text.
func New(ctx context.Context, o Options) (*Tracer, error) {
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
	return newTracer(newQueue(collector, report, o.Registerer), described, o.Log), nil
}

// newTracer returns a Tracer whose finished spans go to the queue.
func newTracer(q *queue, described *resource.Resource, log *zap.Logger) *Tracer {
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithSpanProcessor(q))
	return &Tracer{provider, provider.Tracer("github.com/certgate/certgate"), q, log}
}

// Shutdown exports the finished spans. It returns when they are exported, when ctx is done,
// or after 5 seconds, and logs the number of spans that are lost then.
func (t *Tracer) Shutdown(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	t.queue.cancelExports()
	if err != nil { // the provider stops nothing when ctx is already done
		_ = t.queue.Shutdown(ctx)
	}
	if lost := t.queue.waiting.Load(); lost > 0 {
		t.log.Warn("spans were lost, because the collector did not accept them before the end of the drain",
			zap.Int64("spans", lost), zap.Error(err))
	}
}
