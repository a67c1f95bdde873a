package audit_test

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
)

// gauges returns all values of one gauge, by label values.
func (b bench) gauges(t *testing.T, name string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, m := range b.family(t, name) {
		values[labels(m)] = m.GetGauge().GetValue()
	}
	return values
}

func TestReloaded(t *testing.T) {
	bad := errors.New("rules.yaml:3: want a list")
	type attempt struct {
		source audit.Source
		err    error
	}
	tests := []struct {
		name     string
		attempts []attempt
		counted  map[string]float64
		failing  map[string]float64 // differences to 0
	}{
		{"none yet", nil, map[string]float64{},
			map[string]float64{}},
		{"in force", []attempt{{audit.Keys, nil}}, map[string]float64{"result=ok source=keys": 1},
			map[string]float64{}},
		{"not in force", []attempt{{audit.Rules, bad}}, map[string]float64{"result=failed source=rules": 1},
			map[string]float64{"source=rules": 1}},
		{"one source fails, another does not", []attempt{{audit.CRLs, bad}, {audit.Rules, nil}},
			map[string]float64{"result=failed source=crls": 1, "result=ok source=rules": 1},
			map[string]float64{"source=crls": 1}},
		{"repaired", []attempt{{audit.Keys, bad}, {audit.Keys, bad}, {audit.Keys, nil}},
			map[string]float64{"result=failed source=keys": 2, "result=ok source=keys": 1},
			map[string]float64{}},
		{"broken after a success", []attempt{{audit.CRLs, nil}, {audit.CRLs, bad}},
			map[string]float64{"result=failed source=crls": 1, "result=ok source=crls": 1},
			map[string]float64{"source=crls": 1}},
		{"a source that is not in the list", []attempt{{"/etc/rules.yaml", bad}},
			map[string]float64{"result=failed source=unknown": 1},
			map[string]float64{"source=unknown": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(zapcore.InfoLevel, "json")
			for _, a := range tt.attempts {
				b.Reloaded(a.source, a.err)
			}
			if have := b.counters(t, "certgate_reloads_total"); !maps.Equal(have, tt.counted) {
				t.Errorf("reloads %v, want %v", have, tt.counted)
			}
			failing := b.gauges(t, "certgate_last_reload_failed")
			maps.DeleteFunc(failing, func(_ string, value float64) bool { return value == 0 })
			if !maps.Equal(failing, tt.failing) {
				t.Errorf("failing %v, want %v", failing, tt.failing)
			}
			if b.log.Len() != 0 {
				t.Errorf("want no line, have %q", b.log)
			}
		})
	}
}

func TestEverySourceStartsAtZero(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	have := map[string]bool{}
	for _, m := range b.family(t, "certgate_reloads_total") {
		have[labels(m)] = true
	}
	for _, s := range []audit.Source{audit.Keys, audit.Rules, audit.CRLs} {
		for _, result := range []string{"ok", "failed"} {
			if want := "result=" + result + " source=" + string(s); !have[want] {
				t.Errorf("no counter %q before the first reload", want)
			}
		}
	}
}

func TestConcurrentReloads(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	var wg sync.WaitGroup
	for _, s := range []audit.Source{audit.Keys, audit.Rules, "other"} {
		wg.Go(func() {
			for range 50 {
				b.Reloaded(s, nil)
			}
		})
	}
	wg.Wait()
	want := map[string]float64{"result=ok source=keys": 50, "result=ok source=rules": 50, "result=ok source=unknown": 50}
	if have := b.counters(t, "certgate_reloads_total"); !maps.Equal(have, want) {
		t.Errorf("reloads %v, want %v", have, want)
	}
}

// TestLastSuccess checks that only a success sets the time, and that a source without a
// success has none.
func TestLastSuccess(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	sources := func() []string {
		return slices.Sorted(maps.Keys(b.gauges(t, "certgate_last_reload_success_timestamp_seconds")))
	}
	b.Reloaded(audit.Rules, errors.New("broken"))
	if have := sources(); len(have) != 0 {
		t.Errorf("want no time without a success, found %q", have)
	}
	start := float64(time.Now().Unix())
	b.LoadedAtStart(audit.Keys)
	b.Reloaded(audit.CRLs, nil)
	b.Reloaded(audit.CRLs, errors.New("broken"))
	if have, want := sources(), []string{"source=crls", "source=keys"}; !slices.Equal(have, want) {
		t.Errorf("want times of %q, found %q", want, have)
	}
	for source, at := range b.gauges(t, "certgate_last_reload_success_timestamp_seconds") {
		if at < start {
			t.Errorf("%s: want the time of the success, at least %v, found %v", source, start, at)
		}
	}
	if n := b.counters(t, "certgate_reloads_total")["result=ok source=keys"]; n != 0 {
		t.Errorf("want no attempt for the start, found %v", n)
	}
}

func TestDroppedDenialsCounter(t *testing.T) {
	b := newBench(zapcore.InfoLevel, "json")
	for _, n := range []int{2, 3} {
		b.DroppedDenials(n)
	}
	if n := b.family(t, "certgate_dropped_denials_total")[0].GetCounter().GetValue(); n != 5 {
		t.Errorf("want 5, found %v", n)
	}
}
