package audit_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

func TestRequestCounter(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	outcomes := []struct {
		decision audit.Decision
		reason   refusal.Reason
	}{
		{audit.Allowed, ""},
		{audit.Allowed, ""},
		{audit.Refused, refusal.AccessDenied},
		{audit.Failed, refusal.UpstreamTimeout},
		{audit.Failed, refusal.BodyTooLarge}, // unexpected, but a defined decision and reason
		{"nonsense", "GET /secret"},
		{audit.Refused, "GET /secret"},
	}
	for _, o := range outcomes {
		rec := refused()
		rec.Decision, rec.Reason = o.decision, o.reason
		b.Record(rec)
	}
	want := map[string]float64{
		"decision=allowed reason=":                2,
		"decision=refused reason=access_denied":   1,
		"decision=failed reason=upstream_timeout": 1,
		"decision=failed reason=body_too_large":   1,
		"decision=unknown reason=unknown":         1,
		"decision=refused reason=unknown":         1,
	}
	if have := b.counters(t, "certgate_requests_total"); !maps.Equal(have, want) {
		t.Errorf("requests %v, want %v", have, want)
	}
}

func TestEveryReasonStartsAtZero(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	have := map[string]bool{}
	for _, m := range b.family(t, "certgate_requests_total") {
		have[labels(m)] = true
	}
	for _, r := range refusal.Reasons() {
		if want := "decision=refused reason=" + string(r); !have[want] {
			t.Errorf("no counter %q before the first request", want)
		}
	}
}

// TestSharedKey checks that the field legacy_shared_key and the counter agree.
func TestSharedKey(t *testing.T) {
	tests := []struct {
		name   string
		change func(*audit.Record)
		want   bool
	}{
		{"own key", func(*audit.Record) {}, false},
		{"master key, allowed", func(r *audit.Record) { r.SharedKey = true }, true},
		{"master key, denied by the rules", func(r *audit.Record) {
			r.SharedKey, r.Decision, r.Reason = true, audit.Refused, refusal.AccessDenied
		}, true},
		{"refused for it", func(r *audit.Record) { r.Decision, r.Reason = audit.Refused, refusal.LegacySharedKey }, true},
		{"refused for another reason", func(r *audit.Record) { r.Decision, r.Reason = audit.Refused, refusal.CertificateWeak }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(zapcore.InfoLevel, "json")
			rec := granted()
			tt.change(rec)
			b.Record(rec)
			value, written := b.line(t)["legacy_shared_key"]
			if written != tt.want || written && value != true {
				t.Errorf("legacy_shared_key in the line: %v, want it only when true: %v", value, tt.want)
			}
			shared := b.family(t, "certgate_legacy_shared_key_requests_total")[0].GetCounter().GetValue()
			if (shared == 1) != tt.want || shared > 1 {
				t.Errorf("counted %v, want %v", shared, tt.want)
			}
		})
	}
}

// TestUntrustedTextIsNoLabel records refused requests with new text in every field. The
// number of series must not grow, and no label may contain the text.
func TestUntrustedTextIsNoLabel(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	before := b.series(t)
	for i := range 100 {
		text := "evil" + strings.Repeat("i", i)
		b.Record(&audit.Record{
			RequestID: text, Client: text, Auth: text, Method: text, Path: text, Rule: text, KeyID: text, Serial: text,
			Source: text, Decision: audit.Refused, Reason: refusal.AccessDenied, Detail: text, WouldRefuse: refusal.Reason(text), Status: 403,
		})
	}
	after := b.series(t)
	if !maps.Equal(before, after) {
		t.Errorf("series %v, want %v as before", after, before)
	}
	for name := range after {
		if strings.Contains(name, "evil") {
			t.Errorf("untrusted text in %q", name)
		}
	}
}

func (b bench) series(t *testing.T) map[string]bool {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			names[f.GetName()+" "+labels(m)] = true
		}
	}
	return names
}

func TestDurations(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	b.Record(granted())
	b.Record(granted())
	sums := map[string]float64{}
	for _, m := range b.family(t, "certgate_request_duration_seconds") {
		if m.GetHistogram().GetSampleCount() > 0 {
			sums[labels(m)] = m.GetHistogram().GetSampleSum()
		}
	}
	if want := map[string]float64{"decision=allowed": 0.003}; !maps.Equal(sums, want) {
		t.Errorf("durations %v, want %v", sums, want)
	}
}

func TestInFlight(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	value := func() float64 { return b.family(t, "certgate_requests_in_flight")[0].GetGauge().GetValue() }
	b.Enter()
	b.Enter()
	b.Leave()
	if have := value(); have != 1 {
		t.Errorf("in flight %v, want 1", have)
	}
}

// TestNextCounter checks that changes by next rules are counted for verified clients only,
// with known labels, and also for refused requests.
func TestNextCounter(t *testing.T) {
	tests := []struct {
		name   string
		change func(*audit.Record)
		want   map[string]float64
	}{
		{"no change", func(*audit.Record) {}, map[string]float64{}},
		{"refuse", func(r *audit.Record) { r.Next = gate.NextRefuses }, map[string]float64{"change=refuse client=mail": 1}},
		{"allow", func(r *audit.Record) { r.Next, r.Decision, r.Rule = gate.NextAllows, audit.Refused, "" }, map[string]float64{"change=allow client=mail": 1}},
		{"failed", func(r *audit.Record) { r.Next, r.Decision = gate.NextLimitsRate, audit.Failed }, map[string]float64{"change=rate client=mail": 1}},
		{"no client", func(r *audit.Record) { r.Next, r.Client = gate.NextAllows, "" }, map[string]float64{}},
		{"unknown change", func(r *audit.Record) { r.Next = "GET /secret" }, map[string]float64{"change=unknown client=mail": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(zapcore.InfoLevel, "json")
			rec := granted()
			tt.change(rec)
			b.Record(rec)
			if have := b.counters(t, "certgate_next_rules_total"); !maps.Equal(have, tt.want) {
				t.Errorf("changes %v, want %v", have, tt.want)
			}
			if next, _ := b.line(t)["next"].(string); next != string(rec.Next) {
				t.Errorf("next %q in the line, want %q", next, rec.Next)
			}
		})
	}
}

// TestNextCounterIsBounded checks that clients beyond the limit are counted together.
func TestNextCounterIsBounded(t *testing.T) {
	const most, more = 10_000, 7
	b := newBench(zapcore.FatalLevel, "json")
	rec := granted()
	rec.Next = gate.NextRefuses
	for range 2 { // the known clients stay
		for i := range most + more {
			rec.Client = fmt.Sprint("client-", i)
			b.Record(rec)
		}
	}
	counters := b.counters(t, "certgate_next_rules_total")
	if n := len(counters); n != most+1 || counters["change=refuse client="] != 2*more || counters["change=refuse client=client-0"] != 2 {
		t.Errorf("%d series, %v and %v, want %d with %d requests of the clients beyond them", n, counters["change=refuse client="], counters["change=refuse client=client-0"], most+1, 2*more)
	}
}
