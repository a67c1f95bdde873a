package audit

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// counted is a verified client and one more label.
type counted struct{ client, label string }

// clients count something of each verified client, by one more label that is
// bounded. A counter that was asked for once is kept beside its labels: looking it
// up in the vector costs more. There are as many as the vector has series.
type clients struct {
	vector *prometheus.CounterVec

	mu       sync.RWMutex
	counters map[counted]prometheus.Counter
}

func newClients(factory promauto.Factory, opts prometheus.CounterOpts, label string) clients {
	return clients{
		vector:   factory.NewCounterVec(opts, []string{"client", label}),
		counters: map[counted]prometheus.Counter{},
	}
}

func (c *clients) count(k counted) {
	c.mu.RLock()
	counter, ok := c.counters[k]
	c.mu.RUnlock()
	if !ok {
		var err error
		// The error is a name that is not UTF-8, which no verified client and no
		// rule has. The request is in the other counters all the same.
		if counter, err = c.vector.GetMetricWithLabelValues(k.client, k.label); err != nil {
			return
		}
		c.mu.Lock()
		c.counters[k] = counter
		c.mu.Unlock()
	}
	counter.Inc()
}
