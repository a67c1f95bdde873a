package audit

import (
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// TestClientCountersAreBounded: clients that appear at the same moment do not make more series
// than allowed.
func TestClientCountersAreBounded(t *testing.T) {
	const most, clients, rounds = 4, 8, 300
	for range rounds {
		c := newClientCounters(promauto.With(prometheus.NewRegistry()), prometheus.CounterOpts{Name: "requests"}, "change")
		c.most = most
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range clients {
			all.Go(func() {
				<-begin
				c.count(clientLabels{"client-" + strconv.Itoa(i), "allow"})
			})
		}
		close(begin)
		all.Wait()
		if n := len(c.counters); n != most+1 {
			t.Fatalf("%d series, want %d clients and one for the others", n, most)
		}
	}
}
