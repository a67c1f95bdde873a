package deploy

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/certgate/certgate/test/harness"
)

const monitoringFolder = artefacts + "/monitoring"

// readAlerts parses the alerts as Prometheus does.
func readAlerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(monitoringFolder, "alerts.yaml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var rules []rulefmt.Rule
	for _, g := range groups.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("want alerts, found none")
	}
	return rules
}

// TestAlertTexts checks that each alert has a severity and the annotations, and that its
// runbook is a section of the README, which has no other alert's section.
func TestAlertTexts(t *testing.T) {
	readme := string(read(t, monitoringFolder, "README.md"))
	var names, documented []string
	for _, r := range readAlerts(t) {
		names = append(names, r.Alert)
		if severity := r.Labels["severity"]; !slices.Contains([]string{"critical", "warning", "info"}, severity) {
			t.Errorf("%s: want a severity, found %q", r.Alert, severity)
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s: want a %s, found none", r.Alert, name)
			}
		}
		if want := "scripts/deploy/monitoring/README.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: want the runbook %s, found %q", r.Alert, want, r.Annotations["runbook"])
		}
	}
	for line := range strings.Lines(readme) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			documented = append(documented, name)
		}
	}
	if diff := cmp.Diff(names, documented); diff != "" {
		t.Errorf("sections of the README (-alerts +documented):\n%s", diff)
	}
}

// newEngine returns Prometheus' query engine with its default settings.
func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 50_000_000, Timeout: time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: parser.NewParser(parser.Options{}),
	})
}

// firing returns the alerts that fire at the end of a history. An alert fires if its
// expression has had a result with the same labels at each evaluation for the time of its
// field for.
func firing(t *testing.T, rules []rulefmt.Rule, h *history) []string {
	t.Helper()
	engine := newEngine()
	var all []string
	for _, r := range rules {
		var active []string
		for before := time.Duration(r.For); before >= 0; before -= fineStep {
			var found []string
			for _, s := range h.query(t, engine, r.Expr, h.end.Add(-before)) {
				l := labels.NewBuilder(s.Metric).Del(model.MetricNameLabel, "job").Labels()
				found = append(found, r.Alert+l.String())
			}
			if before == time.Duration(r.For) {
				active = found
				continue
			}
			active = slices.DeleteFunc(active, func(alert string) bool { return !slices.Contains(found, alert) })
		}
		all = append(all, active...)
	}
	slices.Sort(all)
	return all
}

// TestAlerts drives every alert to fire in a gateway with the situation that it describes.
// Exactly the expected alerts fire.
func TestAlerts(t *testing.T) {
	harness.SkipIfShort(t)
	rules := readAlerts(t)
	var mu sync.Mutex
	fired, complete := map[string]bool{}, true
	t.Run("situations", func(t *testing.T) {
		for name, situation := range situations {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() {
					mu.Lock()
					defer mu.Unlock()
					complete = complete && !t.Skipped()
				})
				h, want := situation(t)
				have := firing(t, rules, h)
				if diff := cmp.Diff(want, have); diff != "" {
					t.Errorf("alerts (-want +firing):\n%s", diff)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, alert := range have {
					name, _, _ := strings.Cut(alert, "{")
					fired[name] = true
				}
			})
		}
	})
	for _, r := range rules {
		if complete && !fired[r.Alert] {
			t.Errorf("%s: want a situation in which it fires, found none", r.Alert)
		}
	}
}
