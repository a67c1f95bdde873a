package gateway

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	metricRow    = regexp.MustCompile("(?m)^\\| `(certgate_[a-z_]+)` \\| (.+?) \\| .+ \\| .+ \\|$")
	metricDesc   = regexp.MustCompile(`^Desc\{fqName: "(certgate_[a-z_]+)", help: ".+", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constantName = regexp.MustCompile(`([a-z_]+)=`)
)

// documentedMetrics returns the labels of each metric in the table of the reference.
func documentedMetrics(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../cmd/certgate/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	found := map[string]string{}
	for _, row := range metricRow.FindAllStringSubmatch(section, -1) {
		found[row[1]] = strings.ReplaceAll(strings.Trim(row[2], "–"), "`", "")
	}
	return found
}

// registeredMetrics returns the labels of each metric that a gateway registers, except
// those of the process and the Go runtime. Descriptions include metrics without a series.
func registeredMetrics(g *Gateway) map[string]string {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		g.registry.Describe(descriptions)
	}()
	found := map[string]string{}
	for d := range descriptions {
		parts := metricDesc.FindStringSubmatch(d.String())
		if parts == nil {
			continue
		}
		var labels []string
		for _, constant := range constantName.FindAllStringSubmatch(parts[2], -1) {
			labels = append(labels, constant[1])
		}
		if parts[3] != "" {
			labels = append(labels, strings.Split(parts[3], ",")...)
		}
		slices.Sort(labels)
		found[parts[1]] = strings.Join(labels, ", ")
	}
	return found
}

// TestDocumentedMetrics compares the table of metrics in the reference with the metrics of
// a gateway that has every optional one.
func TestDocumentedMetrics(t *testing.T) {
	g, _, err := build(t, load(t, "http://127.0.0.1:1", map[string]string{
		"REDIS_URL": "redis://127.0.0.1:1", "REDIS_DOWN": "remember",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer g.spans.Shutdown(t.Context())
	for _, e := range g.endpoints() {
		defer e.listener.Close()
	}
	if diff := cmp.Diff(documentedMetrics(t), registeredMetrics(g)); diff != "" {
		t.Errorf("labels of each metric (-documented +registered):\n%s", diff)
	}
}
