package deploy

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/certgate/certgate/test/harness"
)

// job is the value of the label job in the tests, as in prometheus.yaml.
const job = "certgate"

// scrape is the content of /metrics at one time: the samples by their labels, which include
// the name of the metric, as Prometheus stores them.
type scrape struct {
	at      time.Time
	samples map[string]sample
}

// sample is the value of one series.
type sample struct {
	labels  labels.Labels
	value   float64
	counter bool
}

// scrapeGateway reads the metrics of a running gateway.
func scrapeGateway(t *testing.T, g *harness.Gateway) scrape {
	t.Helper()
	a := g.SendAdmin(t, harness.Request{Method: "GET", Target: "/metrics"})
	if a.Status != 200 {
		t.Fatalf("/metrics: want 200, found %d", a.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.Body))
	if err != nil {
		t.Fatalf("/metrics: %v", err)
	}
	s := scrape{time.Now(), map[string]sample{}}
	for name, f := range families {
		if strings.HasPrefix(name, "go_") { // not used, and many
			continue
		}
		for _, m := range f.GetMetric() {
			s.add(name, f.GetType(), m)
		}
	}
	return s
}

// add adds the samples of one metric.
func (s *scrape) add(name string, kind dto.MetricType, m *dto.Metric) {
	put := func(name string, value float64, counter bool, more ...string) {
		b := labels.NewScratchBuilder(8)
		b.Add(model.MetricNameLabel, name)
		b.Add("job", job)
		for _, l := range m.GetLabel() {
			if l.GetValue() != "" { // an empty label is a missing one
				b.Add(l.GetName(), l.GetValue())
			}
		}
		for i := 0; i < len(more); i += 2 {
			b.Add(more[i], more[i+1])
		}
		b.Sort()
		all := b.Labels()
		s.samples[all.String()] = sample{all, value, counter}
	}
	switch kind {
	case dto.MetricType_COUNTER:
		put(name, m.GetCounter().GetValue(), true)
	case dto.MetricType_HISTOGRAM:
		h := m.GetHistogram()
		put(name+"_count", float64(h.GetSampleCount()), true)
		put(name+"_sum", h.GetSampleSum(), true)
		for _, b := range h.GetBucket() {
			le := "+Inf"
			if !math.IsInf(b.GetUpperBound(), 1) {
				le = strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
			}
			put(name+"_bucket", float64(b.GetCumulativeCount()), true, "le", le)
		}
	default:
		put(name, m.GetGauge().GetValue()+m.GetUntyped().GetValue(), false)
	}
}

// value returns the sum of the values of a metric over the series with the labels, and
// whether there is one.
func (s scrape) value(name string, pairs ...string) (sum float64, found bool) {
	for _, sample := range s.samples {
		matches := sample.labels.Get(model.MetricNameLabel) == name
		for i := 0; i < len(pairs); i += 2 {
			matches = matches && sample.labels.Get(pairs[i]) == pairs[i+1]
		}
		if matches {
			sum, found = sum+sample.value, true
		}
	}
	return sum, found
}
