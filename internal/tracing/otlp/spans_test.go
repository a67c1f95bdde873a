package otlp

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/tracecontext"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/collector"
	"github.com/certgate/certgate/internal/testkit/leak"
	"github.com/certgate/certgate/internal/tracing"
)

func TestMain(m *testing.M) { leak.Main(m) }

// caller is the parent in the traceparent of requests.
var caller = tracecontext.Parent{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", Sampled: true}

// fixture is a provider and its tracer, with their log and metrics.
type fixture struct {
	*Provider
	*tracing.Tracer

	registry *prometheus.Registry
	mu       sync.Mutex
	log      bytes.Buffer
}

func (f *fixture) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

// lines returns the number of lines of the log that contain the text.
func (f *fixture) lines(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(f.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// use sets the provider.
func (f *fixture) use(p *Provider) { f.Provider, f.Tracer = p, p.Tracer() }

// newFixture returns a provider that exports to the base URL.
func newFixture(tb testing.TB, base string) *fixture {
	tb.Helper()
	f := &fixture{registry: prometheus.NewRegistry()}
	endpoint, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	log, _ := audit.NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(f))
	p, err := New(context.Background(), Options{Endpoint: endpoint, Version: "1.2.3", Log: log, Registerer: f.registry})
	if err != nil {
		tb.Fatal(err)
	}
	f.use(p)
	return f
}

// dropped returns the number of dropped spans by reason.
func (f *fixture) dropped(tb testing.TB) map[string]float64 {
	tb.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	i := slices.IndexFunc(families, func(m *dto.MetricFamily) bool { return m.GetName() == "certgate_trace_spans_dropped_total" })
	if i < 0 {
		tb.Fatal("no metric of dropped spans")
	}
	counts := map[string]float64{}
	for _, m := range families[i].GetMetric() {
		counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return counts
}

// granted returns the record of a granted request.
func granted() *audit.Record {
	return &audit.Record{
		RequestID: "r-1", Client: "mail", Auth: "bearer", Method: "POST", Path: "/events", Rule: "events", Source: "192.0.2.7",
		Decision: audit.Allowed, Status: http.StatusCreated, Detail: "d3tail", Serial: "4f3a09",
	}
}

func TestSpans(t *testing.T) {
	c := collector.New(t)
	f := newFixture(t, c.URL)
	s := f.Start(caller, time.Now())
	call := s.StartCall("POST", &url.URL{Scheme: "http", Host: "schedule:8081"})
	parent := tracecontext.Parse([]string{call.Traceparent()})
	if !call.ContinuesTrace() || parent.TraceID != caller.TraceID || !parent.Sampled {
		t.Errorf("traceparent %q, want the caller's trace, sampled", call.Traceparent())
	}
	call.End(http.StatusCreated, nil)
	s.End(granted())
	f.Shutdown(t.Context())

	spans := c.Wait(t, 2)
	client, server := spans[0], spans[1]
	want := []collector.Span{
		{Name: "POST", TraceID: caller.TraceID, SpanID: parent.SpanID, ParentID: server.SpanID, Kind: otlp.Span_SPAN_KIND_CLIENT, Attributes: map[string]string{
			"http.request.method": "POST", "server.address": "schedule", "server.port": "int_value:8081", "http.response.status_code": "int_value:201",
		}},
		{Name: "POST", TraceID: caller.TraceID, SpanID: server.SpanID, ParentID: caller.SpanID, Kind: otlp.Span_SPAN_KIND_SERVER, Attributes: map[string]string{
			"http.request.method": "POST", "url.path": "/events", "client.address": "192.0.2.7", "http.response.status_code": "int_value:201",
			"certgate.request_id": "r-1", "certgate.client": "mail", "certgate.auth": "bearer", "certgate.decision": "allowed", "certgate.rule": "events",
		}},
	}
	for i := range spans {
		if r := spans[i].Resource; r["service.name"] != "certgate" || r["service.version"] != "1.2.3" {
			t.Errorf("resource %v, want certgate 1.2.3", r)
		}
		spans[i].Resource = nil
	}
	if diff := cmp.Diff(want, spans); diff != "" || client.SpanID == server.SpanID {
		t.Errorf("spans (-want +have):\n%s", diff)
	}
	if text := string(c.Bytes()); strings.Contains(text, "d3tail") || strings.Contains(text, "4f3a09") {
		t.Error("the export has the detail or the serial, want neither")
	}
}

// TestOutcomes checks the names and the errors of spans with other outcomes.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		name     string
		record   audit.Record
		wantName string
		failed   bool
		want     map[string]string
	}{
		{"refused", audit.Record{Client: "mail", Method: "GET", Decision: audit.Refused, Reason: refusal.AccessDenied, Status: 403}, "GET", false,
			map[string]string{"certgate.reason": "access_denied", "certgate.decision": "refused", "error.type": ""}},
		{"failed", audit.Record{Client: "mail", Method: "GET", Decision: audit.Failed, Reason: refusal.UpstreamTimeout, Status: 504}, "GET", true,
			map[string]string{"certgate.reason": "upstream_timeout", "error.type": "upstream_timeout"}},
		{"observed", audit.Record{Method: "GET", Decision: audit.Allowed, WouldRefuse: refusal.ProofMissing, Status: 200}, "GET", false,
			map[string]string{"certgate.would_refuse": "proof_missing"}},
		{"for another proxy", audit.Record{Surface: audit.ExtAuthz, Method: "GET", Decision: audit.Allowed, Status: 200}, "ext_authz", false,
			map[string]string{"certgate.surface": "ext_authz"}},
		{"unknown method", audit.Record{Method: "BREW", Decision: audit.Refused, Status: 403}, "HTTP", false,
			map[string]string{"http.request.method": "_OTHER", "http.request.method_original": "BREW"}},
		{"text that is not UTF-8", audit.Record{Method: "G\xff", Path: "/\xff\x00" + strings.Repeat("x", 500), Decision: audit.Refused, Status: 400}, "HTTP", false,
			map[string]string{"http.request.method_original": `G\xff`, "url.path": `/\xff\x00` + strings.Repeat("x", 244) + "…"}},
	}
	c := collector.New(t)
	f := newFixture(t, c.URL)
	for i := range tests {
		f.Start(caller, time.Now()).End(&tests[i].record)
	}
	f.Shutdown(t.Context())
	spans := c.Wait(t, len(tests))
	for i, tt := range tests {
		have := spans[i]
		if have.Name != tt.wantName || have.Failed != tt.failed {
			t.Errorf("%s: name %q, failed %t: want %q, %t", tt.name, have.Name, have.Failed, tt.wantName, tt.failed)
		}
		for name, want := range tt.want {
			if have.Attributes[name] != want {
				t.Errorf("%s: %s %q, want %q", tt.name, name, have.Attributes[name], want)
			}
		}
	}
}

// TestCalls checks the spans of calls that fail, and the attributes of other addresses.
func TestCalls(t *testing.T) {
	tests := []struct {
		name    string
		address *url.URL
		status  int
		err     error
		failed  bool
		want    map[string]string
	}{
		{"no connection", &url.URL{Scheme: "http", Host: "a"}, 0, refusal.New(refusal.UpstreamFailed, "s3cret"), true, map[string]string{"server.address": "a", "server.port": "int_value:80", "error.type": "upstream_failed", "http.response.status_code": ""}},
		{"response ends early", &url.URL{Scheme: "https", Host: "a"}, 200, refusal.New(refusal.UpstreamTimeout, "s3cret"), true, map[string]string{"server.port": "int_value:443", "error.type": "upstream_timeout", "http.response.status_code": "int_value:200"}},
		{"error of the service", &url.URL{Scheme: "http", Host: "[::1]:81"}, 404, nil, true, map[string]string{"server.address": "::1", "server.port": "int_value:81", "error.type": "404"}},
		{"socket", upstream.UnixURL("/run/s.sock"), 204, nil, false, map[string]string{"server.address": "/run/s.sock", "network.transport": "unix", "server.port": "", "error.type": ""}},
	}
	c := collector.New(t)
	f := newFixture(t, c.URL)
	for _, tt := range tests {
		f.Start(caller, time.Now()).StartCall("GET", tt.address).End(tt.status, tt.err)
	}
	f.Shutdown(t.Context())
	spans := c.Wait(t, len(tests))
	for i, tt := range tests {
		if spans[i].Failed != tt.failed {
			t.Errorf("%s: failed %t, want %t", tt.name, spans[i].Failed, tt.failed)
		}
		for name, want := range tt.want {
			if have := spans[i].Attributes[name]; have != want {
				t.Errorf("%s: %s %q, want %q", tt.name, name, have, want)
			}
		}
	}
	if bytes.Contains(c.Bytes(), []byte("s3cret")) {
		t.Error("the export has the text of an error")
	}
}

// TestSampling checks that a request whose caller does not record its trace makes no span,
// and that the service is told so.
func TestSampling(t *testing.T) {
	c := collector.New(t)
	f := newFixture(t, c.URL)
	silent := caller
	silent.Sampled = false
	s := f.Start(silent, time.Now())
	call := s.StartCall("GET", &url.URL{Scheme: "http", Host: "a"})
	if have := tracecontext.Parse([]string{call.Traceparent()}); have.TraceID != caller.TraceID || have.Sampled {
		t.Errorf("traceparent %q, want the caller's trace, not sampled", call.Traceparent())
	}
	call.End(200, nil)
	s.End(granted())
	f.Start(caller, time.Now()).End(granted())
	f.Shutdown(t.Context())
	if spans := c.Wait(t, 1); len(spans) != 1 {
		t.Errorf("%+v: want one span", spans)
	}
}

// TestIdentify checks which ids the log has.
func TestIdentify(t *testing.T) {
	c := collector.New(t)
	f := newFixture(t, c.URL)
	defer f.Shutdown(t.Context())
	var rec audit.Record
	own := f.Start(tracecontext.Parent{}, time.Now())
	tracing.Identify(&rec, tracecontext.Parent{}, own)
	if call := own.StartCall("GET", &url.URL{Scheme: "http", Host: "a"}); call.ContinuesTrace() || !strings.Contains(call.Traceparent(), rec.TraceID) || len(rec.TraceID) != 32 || len(rec.SpanID) != 16 {
		t.Errorf("ids %q %q, traceparent %q: want those of a new trace", rec.TraceID, rec.SpanID, call.Traceparent())
	}
	tracing.Identify(&rec, caller, f.Start(caller, time.Now()))
	if rec.TraceID != caller.TraceID || rec.SpanID != caller.SpanID {
		t.Errorf("ids %q %q, want the caller's", rec.TraceID, rec.SpanID)
	}
	tracing.Identify(&rec, tracecontext.Parent{}, nil)
	if rec.TraceID != "" || rec.SpanID != "" {
		t.Errorf("ids %q %q without a tracer, want none", rec.TraceID, rec.SpanID)
	}
}

// BenchmarkSpans measures the spans of one granted request. The sampled ones are exported
// to a collector in the same process, which does not decode them.
func BenchmarkSpans(b *testing.B) {
	silent := caller
	silent.Sampled = false
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	f := newFixture(b, s.URL)
	defer f.Shutdown(b.Context())
	for _, bb := range []struct {
		name   string
		tracer *tracing.Tracer
		caller tracecontext.Parent
	}{{"off", nil, caller}, {"not sampled", f.Tracer, silent}, {"sampled", f.Tracer, caller}} {
		b.Run(bb.name, func(b *testing.B) {
			rec, address := granted(), &url.URL{Scheme: "http", Host: "schedule:8081"}
			b.ReportAllocs()
			for b.Loop() {
				s := bb.tracer.Start(bb.caller, rec.Time)
				tracing.Identify(rec, bb.caller, s)
				call := s.StartCall("POST", address)
				_ = call.Traceparent()
				call.End(201, nil)
				s.End(rec)
			}
		})
	}
}
