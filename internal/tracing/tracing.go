// Package tracing makes a span for each decision and for each call to the upstream. Package
// otlp, below it, exports the spans to a collector.
//
// A nil [Tracer] makes nil spans, whose methods do nothing, so that a gateway without a
// collector pays one comparison per request. Spans contain the fields of the audit record,
// with the same limits on untrusted text, and neither credentials nor queries.
package tracing

import "go.opentelemetry.io/otel/trace"

// Tracer makes spans. It is safe for concurrent use. Use [New] to create one.
type Tracer struct {
	spans           trace.Tracer
	dropsUnverified func() bool
}

// New returns a Tracer that makes its spans with the tracer of OpenTelemetry. The function
// reports whether the span of a request without a verified client is dropped. It is called
// once at the end of each such request whose span is recorded.
func New(spans trace.Tracer, dropsUnverified func() bool) *Tracer {
	return &Tracer{spans, dropsUnverified}
}
