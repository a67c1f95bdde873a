package tracing

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/tracecontext"
)

// Span is the span of one request, from its arrival to the end of its response. The methods
// of nil do nothing.
type Span struct {
	tracer *Tracer
	ctx    context.Context // has the span, for the spans below it
	span   trace.Span
	caller tracecontext.Parent
}

// Start starts the span of a request that arrived at the given time, below the caller's span
// if there is one. Whether it is exported depends on OTEL_TRACES_SAMPLER, by default on the
// caller's flag.
func (t *Tracer) Start(caller tracecontext.Parent, at time.Time) *Span {
	if t == nil {
		return nil
	}
	s := &Span{tracer: t, caller: caller}
	s.ctx, s.span = t.spans.Start(contextOf(caller), "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(at))
	return s
}

// contextOf returns a context in which the caller's span is the parent of new spans.
func contextOf(caller tracecontext.Parent) context.Context {
	traceID, err := trace.TraceIDFromHex(caller.TraceID)
	if err != nil { // the zero value
		return context.Background()
	}
	spanID, err := trace.SpanIDFromHex(caller.SpanID)
	if err != nil {
		return context.Background()
	}
	parent := trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, Remote: true}
	if caller.Sampled {
		parent.TraceFlags = trace.FlagsSampled
	}
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(parent))
}

// Identify sets the trace and span ids of a record: those of the caller, or those of the
// span if the request has no valid traceparent.
func Identify(rec *audit.Record, caller tracecontext.Parent, s *Span) {
	if s != nil && caller.TraceID == "" {
		caller = parentOf(s.span)
	}
	rec.TraceID, rec.SpanID = caller.TraceID, caller.SpanID
}

// parentOf returns a span as the parent of spans in another process.
func parentOf(s trace.Span) tracecontext.Parent {
	c := s.SpanContext()
	return tracecontext.Parent{TraceID: c.TraceID().String(), SpanID: c.SpanID().String(), Sampled: c.IsSampled()}
}

// End ends the span with the decision in the record.
func (s *Span) End(rec *audit.Record) {
	if s != nil {
		s.end(rec)
	}
}

func (s *Span) end(rec *audit.Record) {
	if !s.span.IsRecording() {
		return
	}
	if rec.Client == "" && s.tracer.dropsUnverified() {
		return
	}
	clean := rec.Sanitized()
	rec = &clean
	s.span.SetName(nameOf(rec))
	s.span.SetAttributes(attributesOf(rec)...)
	if rec.Status >= http.StatusInternalServerError || rec.Decision == audit.Failed {
		s.span.SetStatus(codes.Error, "")
		s.span.SetAttributes(attribute.String("error.type", string(rec.Reason)))
	}
	s.span.End()
}

// nameOf returns the name of a request's span. It has few different values.
func nameOf(rec *audit.Record) string {
	if rec.Surface != audit.Public {
		return string(rec.Surface)
	}
	if !isKnownMethod(rec.Method) {
		return "HTTP"
	}
	return rec.Method
}

// attributesOf returns the attributes of a request's span. Those that begin with certgate
// have the names and values of the log fields.
func attributesOf(rec *audit.Record) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 16)
	add := func(key, value string) {
		if value != "" {
			all = append(all, attribute.String(key, value))
		}
	}
	all = appendMethod(all, rec.Method)
	add("url.path", rec.Path)
	add("client.address", rec.Source)
	add("certgate.surface", string(rec.Surface))
	add("certgate.request_id", rec.RequestID)
	add("certgate.client", rec.Client)
	add("certgate.auth", rec.Auth)
	add("certgate.decision", string(rec.Decision))
	add("certgate.reason", string(rec.Reason))
	add("certgate.would_refuse", string(rec.WouldRefuse))
	add("certgate.rule", rec.Rule)
	if rec.Status != 0 {
		all = append(all, attribute.Int("http.response.status_code", rec.Status))
	}
	return all
}

// appendMethod appends the method. The semantic conventions require a constant in place of
// an unknown method, and the original method in another attribute.
func appendMethod(all []attribute.KeyValue, method string) []attribute.KeyValue {
	switch {
	case method == "":
		return all
	case isKnownMethod(method):
		return append(all, attribute.String("http.request.method", method))
	default:
		return append(all, attribute.String("http.request.method", "_OTHER"), attribute.String("http.request.method_original", method))
	}
}

// isKnownMethod reports whether the semantic conventions list the method.
func isKnownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY":
		return true
	default:
		return false
	}
}
