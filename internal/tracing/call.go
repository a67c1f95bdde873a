package tracing

import (
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/tracecontext"
)

// Call is the span of one attempt to send a request to one address of the upstream. The
// methods of nil do nothing.
type Call struct {
	span      trace.Span
	continues bool // the request has a valid traceparent
}

// StartCall starts the span of a request to the address, below s.
func (s *Span) StartCall(method string, address *url.URL) *Call {
	if s == nil {
		return nil
	}
	_, span := s.tracer.spans.Start(s.ctx, "upstream", trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		span.SetName(clientName(method))
		span.SetAttributes(appendMethod(addressAttributes(address), method)...)
	}
	return &Call{span: span, continues: s.caller.TraceID != ""}
}

// clientName returns the name of the span of a call.
func clientName(method string) string {
	if !isKnownMethod(method) {
		return "HTTP"
	}
	return method
}

// addressAttributes returns the attributes of an address of the upstream. The URL of a Unix
// socket has the path in Opaque, see package upstream.
func addressAttributes(address *url.URL) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 5)
	if address.Host == "" {
		return append(all, attribute.String("server.address", address.Opaque), attribute.String("network.transport", "unix"))
	}
	all = append(all, attribute.String("server.address", address.Hostname()))
	port, err := strconv.Atoi(address.Port())
	switch {
	case err == nil:
	case address.Scheme == "https":
		port = 443
	default:
		port = 80
	}
	return append(all, attribute.Int("server.port", port))
}

// Traceparent returns the traceparent that makes the call the parent of the service's
// spans, or "" for nil.
func (c *Call) Traceparent() string {
	if c == nil {
		return ""
	}
	return tracecontext.Format(parentOf(c.span))
}

// ContinuesTrace reports whether the call belongs to the trace of the client's traceparent,
// so that the client's tracestate remains valid.
func (c *Call) ContinuesTrace() bool { return c != nil && c.continues }

// End ends the span of a call with the status of the response. The status 0 means that there
// was none. err is the error of the call or of the transfer of its response, or nil.
func (c *Call) End(status int, err error) {
	if c != nil {
		c.end(status, err)
	}
}

func (c *Call) end(status int, err error) {
	if !c.span.IsRecording() {
		return
	}
	fault := ""
	if status >= http.StatusBadRequest {
		fault = strconv.Itoa(status)
	}
	if refused := refusal.Of(err); refused != nil {
		fault = string(refused.Reason)
	}
	if status != 0 {
		c.span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if fault != "" {
		c.span.SetAttributes(attribute.String("error.type", fault))
		c.span.SetStatus(codes.Error, "")
	}
	c.span.End()
}
