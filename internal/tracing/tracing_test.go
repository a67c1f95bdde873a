package tracing

import (
	"net/url"
	"testing"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/tracecontext"
)

// TestWithoutTracer checks that the path of a request without a tracer allocates nothing.
// The tests of package otlp check the spans of a tracer as the collector receives them.
func TestWithoutTracer(t *testing.T) {
	caller := tracecontext.Parent{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", Sampled: true}
	var none *Tracer
	var rec audit.Record
	address := &url.URL{Scheme: "http", Host: "a"}
	n := testing.AllocsPerRun(100, func() {
		s := none.Start(caller, rec.Time)
		Identify(&rec, caller, s)
		call := s.StartCall("GET", address)
		if call.Traceparent() != "" {
			t.Error("a traceparent without a tracer")
		}
		call.End(200, nil)
		s.End(&rec)
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if rec.TraceID != caller.TraceID || rec.SpanID != caller.SpanID {
		t.Errorf("ids %q %q in the record, want those of the caller", rec.TraceID, rec.SpanID)
	}
}
