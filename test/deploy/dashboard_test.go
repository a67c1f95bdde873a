package deploy

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"

	"github.com/certgate/certgate/test/harness"
)

// dashboard has the parts of Grafana's format that the tests check.
type dashboard struct {
	SchemaVersion int
	Templating    struct{ List []variable }
	Panels        []panel
}

type variable struct {
	Name, Type string
	Query      json.RawMessage
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               struct{ Type, UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []target
}

type target struct {
	RefID, Expr, LegendFormat, Format string
	Datasource                        struct{ UID string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, monitoringFolder, "dashboard.json"), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("want panels, found none")
	}
	return d
}

// placeholders are the variables of Grafana in expressions, with values for the tests.
var placeholders = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")

// TestDashboardPanels checks that the dashboard has its rows, and that every panel has a
// title, a unit, the variable data source and a place of its own.
func TestDashboardPanels(t *testing.T) {
	d := readDashboard(t)
	var rows []string
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d %q: want a title and an id of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[cell]; other != "" || cell[0] >= 24 {
					t.Errorf("panel %q: want a place of its own in 24 columns, found one over %q", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q: want a unit, a description, the variable data source and queries", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || q.Format != "table" && q.LegendFormat == "" {
				t.Errorf("panel %q: want the variable data source and a legend for %s", p.Title, q.Expr)
			}
		}
	}
	if want := []string{"Traffic", "Refusals", "Clients", "Keys, certificates and configuration", "Upstream", "Limits"}; !slices.Equal(rows, want) {
		t.Errorf("want the rows %q, found %q", want, rows)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if want := []string{"datasource", "job", "instance"}; !slices.Equal(variables, want) {
		t.Errorf("want the variables %q, found %q", want, variables)
	}
}

// legendLabel is a label in a legend.
var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// TestHealthyGateway checks a gateway that has every metric and no problem: no alert fires,
// every metric and label in the alerts and in the dashboard exists, and every query of the
// dashboard has a result with the labels of its legend.
func TestHealthyGateway(t *testing.T) {
	harness.SkipIfShort(t)
	t.Parallel()
	h := healthyHistory(t)
	rules := readAlerts(t)
	if alerts := firing(t, rules, h); len(alerts) > 0 {
		t.Errorf("want no alert, found %q", alerts)
	}
	for _, r := range rules {
		h.wantLabels(t, r.Alert, r.Expr)
	}
	engine := newEngine()
	for _, p := range readDashboard(t).Panels {
		for _, q := range p.Targets {
			expression := placeholders.Replace(q.Expr)
			h.wantLabels(t, p.Title, expression)
			result := h.query(t, engine, expression, h.end)
			if len(result) == 0 {
				t.Errorf("%s: want a result of %s, found none", p.Title, q.Expr)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(q.LegendFormat, -1) {
				for _, s := range result {
					if !s.Metric.Has(label[1]) {
						t.Errorf("%s: want the label %s of the legend, found %s", p.Title, label[1], s.Metric)
					}
				}
			}
		}
	}
	for _, v := range readDashboard(t).Templating.List {
		if match := regexp.MustCompile(`label_values\((\w+).*, (\w+)\)`).FindStringSubmatch(string(v.Query)); v.Type == "query" && (match == nil || !h.has(match[1], match[2])) {
			t.Errorf("variable %s: want a metric with the label, found %s", v.Name, v.Query)
		}
	}
}

// wantLabels checks that every metric in an expression exists, with the labels that the
// expression selects by or groups by.
func (h *history) wantLabels(t *testing.T, name, expression string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		var grouping []string
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, m := range n.LabelMatchers {
				h.wantMatcher(t, name, n, m)
			}
		case *parser.AggregateExpr:
			grouping = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				grouping = n.VectorMatching.MatchingLabels
			}
		}
		for _, label := range grouping {
			if !h.anySelectorHas(node, label) {
				t.Errorf("%s: want a metric with the label %s in %s", name, label, node)
			}
		}
		return nil
	})
}

// wantMatcher checks that the metric has the label of the matcher, and that one of its
// series matches. An empty label is a missing one.
func (h *history) wantMatcher(t *testing.T, name string, selector *parser.VectorSelector, m *labels.Matcher) {
	t.Helper()
	var exists, matches bool
	for _, s := range h.series {
		if nameMatches(selector, s.labels) {
			exists, matches = exists || s.labels.Has(m.Name), matches || m.Matches(s.labels.Get(m.Name))
		}
	}
	if !exists || !matches {
		t.Errorf("%s: want a series of %s with %s, found none", name, selector, m)
	}
}

// nameMatches reports whether the series has the name that the selector selects.
func nameMatches(selector *parser.VectorSelector, l labels.Labels) bool {
	return !slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && !m.Matches(l.Get(model.MetricNameLabel))
	})
}

// anySelectorHas reports whether a metric below the node has the label.
func (h *history) anySelectorHas(node parser.Node, label string) (found bool) {
	parser.Inspect(node, func(n parser.Node, _ []parser.Node) error {
		if selector, ok := n.(*parser.VectorSelector); ok {
			found = found || slices.ContainsFunc(h.series, func(s series) bool { return nameMatches(selector, s.labels) && s.labels.Has(label) })
		}
		return nil
	})
	return found
}

// has reports whether a metric has the label.
func (h *history) has(name, label string) bool {
	return slices.ContainsFunc(h.series, func(s series) bool {
		return s.labels.Get(model.MetricNameLabel) == name && s.labels.Has(label)
	})
}

// healthyHistory returns a history of nine days in which clients use both keys of a gateway,
// and are refused now and then.
func healthyHistory(t *testing.T) *history {
	t.Helper()
	g, old, current := startHealthy(t)
	mail, web := current.issueSigner(t, "mail", 50*day), old.issue(t, "web", 50*day)
	use := func() {
		g.useLater(t, mail.Certificate, current)
		g.useLater(t, web, old)
		if a := harness.Send(t, g.Addr, mail.Sign(t, harness.PlainGet("/events"), harness.SignatureOptions{})); a.Status != 200 {
			t.Fatalf("a signed request: want 200, found %d", a.Status)
		}
		g.send(t, 1, mail.Certificate, "/admin", 403)
		g.send(t, 1, web, "/admin", 403)
	}
	use()
	start := at(t, 9*day, g)
	use()
	middle := at(t, 2*day, g)
	use()
	return newHistory([]string{instanceName(0)}, start, middle, at(t, 0, g))
}

// TestMonitoringConfiguration checks the example of a scrape configuration, and that the
// alerts are a valid PrometheusRule in the way that the README describes.
func TestMonitoringConfiguration(t *testing.T) {
	var c struct {
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(read(t, monitoringFolder, "prometheus.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.RuleFiles) != 1 || len(c.ScrapeConfigs) != 1 || c.ScrapeConfigs[0].JobName != job {
		t.Errorf("want one rule file and the job %s, found %+v", job, c)
	}
	for _, name := range c.RuleFiles {
		read(t, filepath.Join(monitoringFolder, name))
	}
	alerts := "  " + strings.ReplaceAll(string(read(t, monitoringFolder, "alerts.yaml")), "\n", "\n  ")
	_, object, err := decode([]byte("apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: certgate}\nspec:\n" + alerts))
	if err != nil {
		t.Fatal(err)
	}
	if rule := object.(*monitoringv1.PrometheusRule); len(rule.Spec.Groups) != 1 || len(rule.Spec.Groups[0].Rules) != len(readAlerts(t)) {
		t.Errorf("want every alert in the PrometheusRule, found %d groups", len(rule.Spec.Groups))
	}
}
