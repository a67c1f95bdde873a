package public

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/tracecontext"
	"github.com/certgate/certgate/internal/testkit/spans"
	"github.com/certgate/certgate/internal/tracing"
)

// TestTraceparent checks that the log has the ids of a valid traceparent, and no text of
// any other one, and that the upstream gets the fields as the client sent them.
func TestTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const valid = "00-" + trace + "-" + span + "-01"
	tests := []struct {
		name   string
		send   []string
		logged bool
	}{
		{"none", nil, false},
		{"valid", []string{valid}, true},
		{"two", []string{valid, valid}, false},
		{"upper case", []string{strings.ToUpper(valid)}, false},
		{"other text", []string{"injected-" + valid}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			fields := []string{"X-SSL-Auth: " + encode(newCertificates(t).mail), "Tracestate: vendor=1"}
			for _, value := range tt.send {
				fields = append(fields, "Traceparent: "+value)
			}
			b.send(t, request("GET /events/ HTTP/1.1", fields...))
			h := (<-b.requests).Header
			if !slices.Equal(h["Traceparent"], tt.send) || !slices.Equal(h["Tracestate"], []string{"vendor=1"}) {
				t.Errorf("the upstream got %q and %q, want %q and tracestate", h["Traceparent"], h["Tracestate"], tt.send)
			}
			checkTrace(t, b, tt.logged, trace, span)
		})
	}
}

// TestTraceparentOfRefusal checks the ids of a request that is refused.
func TestTraceparentOfRefusal(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	b := newFixture(t, nil)
	if res := b.send(t, request("GET /events/ HTTP/1.1", "traceparent: 00-"+trace+"-"+span+"-00")); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", res.StatusCode)
	}
	checkTrace(t, b, true, trace, span)
}

// checkTrace checks the ids in the only line of the log.
func checkTrace(t *testing.T, b *fixture, logged bool, trace, span string) {
	t.Helper()
	record := b.record(t)
	switch {
	case logged && (record["trace_id"] != trace || record["span_id"] != span):
		t.Errorf("record %v: want the ids of traceparent", record)
	case !logged && (record["trace_id"] != nil || record["span_id"] != nil || strings.Contains(strings.ToLower(b.text()), trace)):
		t.Errorf("record %v: want no part of traceparent", record)
	}
}

// TestUpstreamTraceparent checks that the service's spans appear below the span of the call,
// except if the client's signature covers the trace context.
func TestUpstreamTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const valid, state = "00-" + trace + "-" + span + "-01", "vendor=1"
	tests := []struct {
		name              string
		send              []string
		same, kept, state bool // the trace id, the whole traceparent, tracestate
	}{
		{name: "none"},
		{name: "valid", send: []string{"Traceparent: " + valid, "Tracestate: " + state}, same: true, state: true},
		{name: "not sampled", send: []string{"Traceparent: 00-" + trace + "-" + span + "-00", "Tracestate: " + state}, same: true, state: true},
		{name: "two", send: []string{"Traceparent: " + valid, "Traceparent: " + valid, "Tracestate: " + state}},
		{name: "invalid", send: []string{"Traceparent: 00-" + trace, "Tracestate: " + state}},
		{name: "tracestate only", send: []string{"Tracestate: " + state}},
		{name: "listed in Connection", send: []string{"Traceparent: " + valid, "Tracestate: " + state, "Connection: traceparent"}, same: true, state: true},
		{name: "covered", send: []string{"Traceparent: " + valid, "Tracestate: " + state, `Signature-Input: sig=("@method" "traceparent");created=1`}, same: true, kept: true, state: true},
		{name: "tracestate covered", send: []string{"Traceparent: " + valid, "Tracestate: " + state, `Signature-Input: a=("@method"), b=("tracestate")`}, same: true, kept: true, state: true},
		{name: "not covered", send: []string{"Traceparent: " + valid, "Tracestate: " + state, `Signature-Input: sig=("@method");created=1`}, same: true, state: true},
	}
	tracer := tracing.New(spans.Tracer{}, func() bool { return false })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, func(b *fixture) { b.options.Tracer = tracer })
			b.send(t, request("GET /events/ HTTP/1.1", append(tt.send, "X-SSL-Auth: "+encode(newCertificates(t).mail))...))
			h := (<-b.requests).Header
			have := tracecontext.Parse(h["Traceparent"])
			if have.TraceID == "" || (have.TraceID == trace) != tt.same || (have.SpanID == span) != tt.kept {
				t.Errorf("traceparent %q at the upstream: want one, with the client's trace %t, unchanged %t", h["Traceparent"], tt.same, tt.kept)
			}
			if have := h.Get("Tracestate"); (have == state) != tt.state || have != "" && !tt.state {
				t.Errorf("tracestate %q, want it kept: %t", have, tt.state)
			}
			if record := b.record(t); (record["trace_id"] == trace) != tt.same || !tt.kept && record["trace_id"] != have.TraceID {
				t.Errorf("trace_id %v in the log, want that of %q", record["trace_id"], h["Traceparent"])
			}
		})
	}
}
