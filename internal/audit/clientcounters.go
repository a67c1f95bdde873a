package audit

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// clientLabels are the values of the label client and one further label.
type clientLabels struct{ client, label string }

// clientCounters is a counter for each verified client and one further label with a
// bounded set of values. It caches the counters by their labels, because the lookup in
// the vector is slower. It is safe for concurrent use.
type clientCounters struct {
	vector *prometheus.CounterVec
	// most is the number of pairs of labels after which further clients are counted
	// together, with an empty name.
	most int

	mu       sync.RWMutex
	counters map[clientLabels]prometheus.Counter
}

func newClientCounters(factory promauto.Factory, opts prometheus.CounterOpts, label string) clientCounters {
	return clientCounters{
		vector:   factory.NewCounterVec(opts, []string{"client", label}),
		counters: map[clientLabels]prometheus.Counter{},
	}
}

func (c *clientCounters) count(k clientLabels) {
	c.mu.RLock()
	counter, ok := c.counters[k]
	c.mu.RUnlock()
	if !ok {
		counter, ok = c.add(k)
	}
	if ok {
		counter.Inc()
	}
}

// add returns the counter for k, or the one for an empty name if there are too many. ok is
// false if a label is not UTF-8. Names of verified clients and of rules are UTF-8, and the
// request is counted in the other metrics anyway.
func (c *clientCounters) add(k clientLabels) (counter prometheus.Counter, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.counters[k]; !known && len(c.counters) >= c.most {
		k.client = ""
	}
	counter, err := c.vector.GetMetricWithLabelValues(k.client, k.label)
	if err != nil {
		return nil, false
	}
	c.counters[k] = counter
	return counter, true
}
