package audit

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// grant is one combination of labels of the client counter.
type grant struct{ client, rule string }

// grants count what each client was granted by which rule. A counter that was
// asked for once is kept beside its labels: looking it up in the vector costs
// more. There are as many as the vector has series.
type grants struct {
	vector *prometheus.CounterVec

	mu       sync.RWMutex
	counters map[grant]prometheus.Counter
}

func newGrants(factory promauto.Factory) grants {
	return grants{
		vector: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "certgate_client_requests_total",
			Help: "Granted requests by verified client and by the rule that granted them.",
		}, []string{"client", "rule"}),
		counters: map[grant]prometheus.Counter{},
	}
}

func (g *grants) count(k grant) {
	g.mu.RLock()
	c, ok := g.counters[k]
	g.mu.RUnlock()
	if !ok {
		var err error
		// The error is a name that is not UTF-8, which no verified client and no
		// rule has. The request is in the other counters all the same.
		if c, err = g.vector.GetMetricWithLabelValues(k.client, k.rule); err != nil {
			return
		}
		g.mu.Lock()
		g.counters[k] = c
		g.mu.Unlock()
	}
	c.Inc()
}
