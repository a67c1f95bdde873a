package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// newPool is the pool of a configuration, with a log line for each change and a
// metric for each address.
func newPool(c config.Config, log *zap.Logger, registry prometheus.Registerer) *upstream.Pool {
	p := upstream.New(upstream.Options{
		Addresses: c.Upstreams, MaxInFlight: c.MaxInFlight, Now: time.Now,
		Check: upstream.Check{Path: c.UpstreamHealthPath, Timeout: c.UpstreamTimeout},
		Changed: func(change upstream.Change) {
			if change.Up {
				log.Info("upstream is back", zap.String("upstream", change.Name))
				return
			}
			log.Warn("upstream is out", zap.String("upstream", change.Name), zap.Error(change.Err))
		},
	})
	for i := range p.Len() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "certgate_upstream_up",
			Help:        "1 while an address of the upstream gets requests, 0 while it is out because it gives no answers.",
			ConstLabels: prometheus.Labels{"upstream": p.Name(i)},
		}, func() float64 {
			if p.Up(i) {
				return 1
			}
			return 0
		}))
	}
	return p
}
