package audit_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

var arrival = time.Date(2026, 11, 21, 10, 0, 0, 5000000, time.FixedZone("", 3600))

// granted returns a record of a forwarded request with all usual fields.
func granted() *audit.Record {
	return &audit.Record{
		Time: arrival, RequestID: "r-1", Client: "mail", Auth: "bearer", Method: "POST", Path: "/events",
		Rule: "apps-add-events", KeyID: "0123456789abcdef", Serial: "4f3a09", NotAfter: "2027-11-21T09:00:00Z", Source: "192.0.2.7",
		Decision: audit.Allowed, Status: 201, Duration: 1500 * time.Microsecond, BytesIn: 120, BytesOut: 45,
	}
}

// refused returns a record of a request without a credential.
func refused() *audit.Record {
	return &audit.Record{
		Time: arrival, RequestID: "r-2", Method: "GET", Path: "/events", Source: "192.0.2.7",
		Decision: audit.Refused, Reason: refusal.CredentialMissing, Detail: "no X-SSL-Auth", Status: 401,
	}
}

// bench is a recorder with its log and its registry.
type bench struct {
	*audit.Recorder
	log *bytes.Buffer
	reg *prometheus.Registry
}

func newBench(level zapcore.Level, format string) bench {
	var log bytes.Buffer
	logger, _ := audit.NewLogger(level, format, zapcore.AddSync(&log))
	reg := prometheus.NewRegistry()
	return bench{audit.New(logger, reg), &log, reg}
}

// line returns the only line of the log.
func (b bench) line(t *testing.T) map[string]any {
	t.Helper()
	text := b.log.String()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("want one line, have %q", text)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return fields
}

// counters returns the values above zero of one counter, by label values.
func (b bench) counters(t *testing.T, name string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, m := range b.family(t, name) {
		if v := m.GetCounter().GetValue(); v > 0 {
			values[labels(m)] = v
		}
	}
	return values
}

func (b bench) family(t *testing.T, name string) []*dto.Metric {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func labels(m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(parts, " ")
}

func TestRecordWritesOneLine(t *testing.T) {
	tests := []struct {
		name   string
		record *audit.Record
		want   map[string]any
	}{
		{"allowed", granted(), map[string]any{
			"time": "2026-11-21T09:00:00.005000000Z", "level": "info", "msg": "request",
			"request_id": "r-1", "client": "mail", "auth": "bearer", "method": "POST", "path": "/events",
			"decision": "allowed", "rule": "apps-add-events", "key_id": "0123456789abcdef", "serial": "4f3a09", "not_after": "2027-11-21T09:00:00Z",
			"source": "192.0.2.7", "status": 201.0, "duration_ms": 1.5, "bytes_in": 120.0, "bytes_out": 45.0,
		}},
		{"one of several upstreams", &audit.Record{Time: granted().Time, Upstream: "a:80", Decision: audit.Allowed}, map[string]any{
			"time": "2026-11-21T09:00:00.005000000Z", "level": "info", "msg": "request",
			"decision": "allowed", "upstream": "a:80", "duration_ms": 0.0, "bytes_in": 0.0, "bytes_out": 0.0,
		}},
		{"observed", &audit.Record{Time: granted().Time, WouldRefuse: refusal.ProofReplayed, Decision: audit.Allowed}, map[string]any{
			"time": "2026-11-21T09:00:00.005000000Z", "level": "info", "msg": "request",
			"decision": "allowed", "would_refuse": "proof_replayed", "duration_ms": 0.0, "bytes_in": 0.0, "bytes_out": 0.0,
		}},
		{"refused", refused(), map[string]any{
			"time": "2026-11-21T09:00:00.005000000Z", "level": "info", "msg": "request",
			"request_id": "r-2", "method": "GET", "path": "/events", "source": "192.0.2.7",
			"decision": "refused", "reason": "credential_missing", "detail": "no X-SSL-Auth",
			"status": 401.0, "duration_ms": 0.0, "bytes_in": 0.0, "bytes_out": 0.0,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(zapcore.InfoLevel, "json")
			b.Record(tt.record)
			if have := b.line(t); !maps.Equal(have, tt.want) {
				t.Errorf("line %v, want %v", have, tt.want)
			}
		})
	}
}

func TestRecordWithoutTimeUsesCurrentTime(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	rec := granted()
	rec.Time = time.Time{}
	before := time.Now().Add(-time.Second)
	b.Record(rec)
	at, err := time.Parse(time.RFC3339Nano, b.line(t)["time"].(string))
	if err != nil || at.Before(before) || at.Location() != time.UTC {
		t.Errorf("time %v, %v: want a UTC time after %v", at, err, before)
	}
}

func TestLevel(t *testing.T) {
	tests := []struct {
		name     string
		decision audit.Decision
		reason   refusal.Reason
		want     string
	}{
		{"allowed", audit.Allowed, "", "info"},
		{"refused to a client", audit.Refused, refusal.AccessDenied, "info"},
		{"refused while draining", audit.Refused, refusal.Draining, "info"},
		{"failed", audit.Failed, refusal.UpstreamFailed, "error"},
		{"failed without a reason", audit.Failed, "", "error"},
		{"failed by the client", audit.Failed, refusal.BodyTooLarge, "info"},
		{"the client left", audit.Failed, refusal.ClientClosed, "info"},
		{"the client stalled", audit.Failed, refusal.RequestTimeout, "info"},
		{"refused by a fault", audit.Refused, refusal.Internal, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(zapcore.InfoLevel, "json")
			rec := granted()
			rec.Decision, rec.Reason = tt.decision, tt.reason
			b.Record(rec)
			line := b.line(t)
			if line["level"] != tt.want {
				t.Errorf("level %v, want %s", line["level"], tt.want)
			}
			if _, ok := line["stacktrace"]; ok {
				t.Error("a line of a request has a stack trace")
			}
		})
	}
}

func TestLevelAboveInfoStillCounts(t *testing.T) {
	b := newBench(zapcore.ErrorLevel, "json")
	b.Record(refused())
	if b.log.Len() != 0 {
		t.Errorf("want no line, have %q", b.log)
	}
	want := map[string]float64{"decision=refused reason=credential_missing": 1}
	if have := b.counters(t, "certgate_requests_total"); !maps.Equal(have, want) {
		t.Errorf("requests %v, want %v", have, want)
	}
}

// TestNoSampling checks that equal lines are not dropped.
func TestNoSampling(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	for range 1000 {
		b.Record(refused())
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1000 {
		t.Errorf("want 1000 lines, have %d", n)
	}
}

func TestUntrustedText(t *testing.T) {
	long := strings.Repeat("a", 1000)
	tests := []struct {
		name, path, want string
	}{
		{"plain", "/events?a=1%20", "/events?a=1%20"},
		{"newline", "/a\nb", `/a\x0ab`},
		{"carriage return and NUL", "/a\r\x00b", `/a\x0d\x00b`},
		{"next line", "/a\u0085b", `/a\xc2\x85b`},
		{"line separator", "/a\u2028b", `/a\xe2\x80\xa8b`},
		{"terminal control", "/a\x1b[2Jb\u009b", `/a\x1b[2Jb\xc2\x9b`},
		{"not UTF-8", "/a\xffb", `/a\xffb`},
		{"a false mark", "/a…", `/a\xe2\x80\xa6`},
		{"as long as can be", "/" + long[:255], "/" + long[:255]},
		{"one byte too long", "/" + long[:256], "/" + long[:252] + "…"},
		{"long when escaped", strings.Repeat("\n", 200), strings.Repeat(`\x0a`, 63) + "…"},
	}
	for _, format := range []string{"json", "console"} {
		for _, tt := range tests {
			t.Run(format+"/"+tt.name, func(t *testing.T) {
				b := newBench(zapcore.InfoLevel, format)
				rec := refused()
				rec.Path = tt.path
				b.Record(rec)
				text := b.log.String()
				start := strings.IndexByte(text, '{')
				if start < 0 || strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\u0085\u2028\u009b") {
					t.Fatalf("want one plain line, have %q", text)
				}
				var fields map[string]any
				if err := json.Unmarshal([]byte(text[start:]), &fields); err != nil {
					t.Fatal(err)
				}
				if fields["path"] != tt.want {
					t.Errorf("path %q, want %q", fields["path"], tt.want)
				}
			})
		}
	}
}

func TestLongTextIsTruncated(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	long := strings.Repeat("x", 10000)
	rec := refused()
	rec.RequestID, rec.Method, rec.Path, rec.Detail, rec.Source = long, long, long, long, long
	b.Record(rec)
	limits := map[string]int{"request_id": 128, "method": 16, "path": 256, "detail": 512, "source": 64}
	line := b.line(t)
	for key, limit := range limits {
		text := line[key].(string)
		if len(text) != limit || !strings.HasSuffix(text, "x…") {
			t.Errorf("%s is %d bytes %q, want %d and a mark", key, len(text), text, limit)
		}
	}
}

func TestConcurrentRecords(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				b.Enter()
				b.Record(granted())
				b.Record(refused())
				b.Leave()
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(b.log.String(), "\n"), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Fatalf("torn line %q", line)
		}
	}
	if len(lines) != 2000 {
		t.Errorf("want 2000 lines, have %d", len(lines))
	}
	want := map[string]float64{"decision=allowed reason=": 1000, "decision=refused reason=credential_missing": 1000}
	if have := b.counters(t, "certgate_requests_total"); !maps.Equal(have, want) {
		t.Errorf("requests %v, want %v", have, want)
	}
}

func TestLoggerLevelCanChange(t *testing.T) {
	var log bytes.Buffer
	logger, level := audit.NewLogger(zapcore.ErrorLevel, "json", zapcore.AddSync(&log))
	logger.Info("hidden")
	level.SetLevel(zapcore.DebugLevel)
	logger.Debug("shown")
	if text := log.String(); strings.Contains(text, "hidden") || !strings.Contains(text, `"msg":"shown"`) {
		t.Errorf("log %q: want only the line after the change", text)
	}
}

// BenchmarkRecord measures the cost of the audit for one request.
func BenchmarkRecord(b *testing.B) {
	lines := audit.NewBuffer(discard{}, audit.Continue)
	defer lines.Close()
	logger, _ := audit.NewBufferedLogger(zapcore.InfoLevel, "json", lines)
	r := audit.New(logger, prometheus.NewRegistry())
	rec := granted()
	rec.RequestID = "9f2a61c85f3d4b0e9f2a61c85f3d4b0e"
	b.ReportAllocs()
	for b.Loop() {
		r.Record(rec)
	}
	b.ReportMetric(float64(lines.Lost())/float64(b.N), "lost/op")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestApplyDecision checks that the record of an unverified certificate has the reason
// and detail of an observed failure, and no value of Auth.
func TestApplyDecision(t *testing.T) {
	var rec audit.Record
	rec.ApplyDecision(&gate.Decision{Auth: gate.Bearer, WouldRefuse: refusal.New(refusal.ProofExpired, "too late"), Next: gate.NextRefuses})
	if want := (audit.Record{WouldRefuse: refusal.ProofExpired, Detail: "too late", Next: gate.NextRefuses}); rec != want {
		t.Errorf("record %+v, want %+v", rec, want)
	}
}
