package public

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestTraceparent checks that the log has the ids of a valid traceparent, and no text of
// any other one, and that the upstream gets the fields as the client sent them.
func TestTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const valid = "00-" + trace + "-" + span + "-01"
	tests := []struct {
		name  string
		send  []string
		wants bool
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
			checkTrace(t, b, tt.wants, trace, span)
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
func checkTrace(t *testing.T, b *fixture, wants bool, trace, span string) {
	t.Helper()
	record := b.record(t)
	switch {
	case wants && (record["trace_id"] != trace || record["span_id"] != span):
		t.Errorf("record %v: want the ids of traceparent", record)
	case !wants && (record["trace_id"] != nil || record["span_id"] != nil || strings.Contains(strings.ToLower(b.text()), trace)):
		t.Errorf("record %v: want no part of traceparent", record)
	}
}
