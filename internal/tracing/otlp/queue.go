package otlp

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxQueued is the number of finished spans that wait for the collector. A span has about
// 3 KiB.
const maxQueued = 8192

// queue passes finished spans to the SDK's batch processor, and counts the spans that it
// drops. The batch processor has a bounded queue too, but it does not report drops. Its
// queue is never full, because queue limits the spans that wait in it.
type queue struct {
	sdktrace.SpanProcessor // the batch processor

	waiting       atomic.Int64 // spans that were passed on and not exported
	full          prometheus.Counter
	cancelExports context.CancelFunc
}

// newQueue returns a queue for the collector and registers its metric.
func newQueue(collector sdktrace.SpanExporter, report *reporter, reg prometheus.Registerer) *queue {
	dropped := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "certgate_trace_spans_dropped_total",
		Help: "Spans that the collector did not get: queue_full, or export_failed after the SDK's retries.",
	}, []string{"reason"})
	exports, cancel := context.WithCancel(context.Background())
	q := &queue{full: dropped.WithLabelValues("queue_full"), cancelExports: cancel}
	e := &exporter{SpanExporter: collector, exports: exports, waiting: &q.waiting, failed: dropped.WithLabelValues("export_failed"), report: report}
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(e, sdktrace.WithMaxQueueSize(maxQueued))
	return q
}

// OnEnd implements [sdktrace.SpanProcessor].
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > maxQueued {
		q.waiting.Add(-1)
		q.full.Inc()
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// refusesUnverified reports whether the queue is half full, and counts a dropped span then.
// The second half is reserved for requests of verified clients, so that a flood of other
// requests does not drop their spans.
func (q *queue) refusesUnverified() bool {
	if q.waiting.Load() < maxQueued/2 {
		return false
	}
	q.full.Inc()
	return true
}

// exporter counts and reports failed exports.
type exporter struct {
	sdktrace.SpanExporter // the collector

	exports context.Context // canceled to end an export at shutdown
	waiting *atomic.Int64
	failed  prometheus.Counter
	report  *reporter
}

// ExportSpans implements [sdktrace.SpanExporter]. It reports an error and returns nil,
// because the SDK would only pass the error to its global handler.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.exports, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if e.exports.Err() != nil { // Shutdown reports the spans as lost
		return nil
	}
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.failed.Add(float64(len(spans)))
		e.report.log(err)
	}
	return nil
}
