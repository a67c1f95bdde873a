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
	isFull := len(c.counters) >= c.most
	c.mu.RUnlock()
	if !ok {
		if isFull {
			k.client = ""
		}
		var err error
		// An error means that a label is not UTF-8. Names of verified clients and of
		// rules are UTF-8. The request is counted in the other metrics anyway.
		if counter, err = c.vector.GetMetricWithLabelValues(k.client, k.label); err != nil {
			return
		}
		c.mu.Lock()
		c.counters[k] = counter
		c.mu.Unlock()
	}
	counter.Inc()
}
