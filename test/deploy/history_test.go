package deploy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	// fineStep is the time between two samples of the last two hours, and coarseStep of
	// earlier ones. Prometheus ignores samples that are older than 5 minutes.
	fineStep   = time.Minute
	coarseStep = 4 * time.Minute
	fineWindow = 2 * time.Hour
)

// observation is a scrape of each gateway, with the time that it stands for in a history.
// The scrapes of a test are taken within seconds; their history may cover days.
type observation struct {
	before  time.Duration     // the end of the history
	scrapes map[string]scrape // by instance; a gateway that cannot be scraped has none
}

// history contains the samples of a time in which real scrapes were taken at some points.
// Between two points counters and the times of past events rise evenly, and gauges keep their
// value.
type history struct {
	end    time.Time
	series []series
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample // in the order of time
}

// newHistory returns the history with the observations, which are in the order of time. The
// last one is its end.
func newHistory(instances []string, observations ...observation) *history {
	h := &history{}
	for _, o := range observations {
		for _, s := range o.scrapes {
			if s.at.After(h.end) {
				h.end = s.at
			}
		}
	}
	h.end = h.end.Truncate(time.Second)
	for _, instance := range instances {
		h.add(instance, observations)
	}
	return h
}

// add adds the series of one instance, and the series up that Prometheus makes itself.
func (h *history) add(instance string, observations []observation) {
	all := map[string]*series{}
	put := func(key string, l labels.Labels, at time.Time, value float64) {
		s := all[key]
		if s == nil {
			s = &series{labels: labels.NewBuilder(l).Set("instance", instance).Labels()}
			all[key] = s
		}
		s.samples = append(s.samples, floatSample{at.UnixMilli(), value})
	}
	up := labels.FromStrings(model.MetricNameLabel, "up", "job", job)
	points := h.points(instance, observations)
	for i, p := range points {
		next := p
		if i+1 < len(points) {
			next = points[i+1]
		}
		for _, at := range timesUntil(p.at, next.at, h.end) {
			if p.values == nil {
				put("up", up, at, 0)
				continue
			}
			put("up", up, at, 1)
			share := float64(at.Sub(p.at)) / float64(max(next.at.Sub(p.at), 1))
			for key, s := range p.values {
				value := s.value
				later, ok := next.values[key]
				if ok && later.value > value && (s.counter || isEvent(s.labels)) { // otherwise a restart
					value += (later.value - value) * share
				}
				put(key, s.labels, at, value)
			}
		}
	}
	for _, s := range all {
		h.series = append(h.series, *s)
	}
}

// historyPoint is a scrape of one instance at its time in the history. values is nil if the
// scrape failed.
type historyPoint struct {
	at     time.Time
	values map[string]sample
}

// points returns the scrapes of an instance. Times of past events that changed since the
// scrape before are moved by as much as the scrape is.
func (h *history) points(instance string, observations []observation) []historyPoint {
	var points []historyPoint
	original := map[string]float64{}
	for _, o := range observations {
		p := historyPoint{at: h.end.Add(-o.before)}
		if s, ok := o.scrapes[instance]; ok {
			p.values = map[string]sample{}
			for key, v := range s.samples {
				if isEvent(v.labels) && v.value != 0 {
					earlier, known := original[key]
					original[key] = v.value
					if v.value += p.at.Sub(s.at).Seconds(); known && earlier == original[key] {
						v = points[len(points)-1].values[key]
					}
				}
				p.values[key] = v
			}
		}
		points = append(points, p)
	}
	return points
}

// isEvent reports whether the value is the time of a past event.
func isEvent(l labels.Labels) bool {
	return strings.Contains(l.Get(model.MetricNameLabel), "_last_") && strings.HasSuffix(l.Get(model.MetricNameLabel), "_timestamp_seconds")
}

// timesUntil returns the times of the samples from one observation to the time before the
// next one, or to the end of the history.
func timesUntil(from, to, end time.Time) (times []time.Time) {
	for at := from; ; {
		times = append(times, at)
		step := coarseStep
		if end.Sub(at) <= fineWindow {
			step = fineStep
		}
		if at = at.Add(step); !at.Before(to) {
			return times
		}
	}
}

// floatSample implements [chunks.Sample].
type floatSample struct {
	t int64
	f float64
}

func (s floatSample) T() int64                      { return s.t }
func (s floatSample) ST() int64                     { return 0 }
func (s floatSample) F() float64                    { return s.f }
func (s floatSample) H() *histogram.Histogram       { return nil }
func (s floatSample) FH() *histogram.FloatHistogram { return nil }
func (s floatSample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s floatSample) Copy() chunks.Sample           { return s }

// Querier implements [storage.Queryable].
func (h *history) Querier(mint, maxt int64) (storage.Querier, error) {
	return querier{h, mint, maxt}, nil
}

// querier selects the samples between two times.
type querier struct {
	*history
	mint, maxt int64
}

// Select implements [storage.Querier].
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, s := range q.series {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			continue
		}
		from, _ := slices.BinarySearchFunc(s.samples, q.mint, compareTime)
		to, _ := slices.BinarySearchFunc(s.samples, q.maxt+1, compareTime)
		if from < to {
			set.all = append(set.all, storage.NewListSeries(s.labels, s.samples[from:to]))
		}
	}
	slices.SortFunc(set.all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return set
}

func compareTime(s chunks.Sample, t int64) int { return int(s.T() - t) }

// LabelValues implements [storage.Querier]. The engine does not call it.
func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements [storage.Querier]. The engine does not call it.
func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements [storage.Querier].
func (querier) Close() error { return nil }

// seriesSet implements [storage.SeriesSet].
type seriesSet struct {
	all  []storage.Series
	next int
}

func (s *seriesSet) Next() bool {
	s.next++
	return s.next <= len(s.all)
}
func (s *seriesSet) At() storage.Series                { return s.all[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// query evaluates an expression at a time with Prometheus' own engine.
func (h *history) query(t *testing.T, engine *promql.Engine, expression string, at time.Time) promql.Vector {
	t.Helper()
	q, err := engine.NewInstantQuery(t.Context(), h, nil, expression, at)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	vector, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return slices.Clone(vector)
}
