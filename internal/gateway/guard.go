package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/guard/throttle"
)

// newGuard is the guard of a configuration; its metric is registered with r.
func newGuard(c config.Config, r prometheus.Registerer) *throttle.Guard {
	guard := throttle.New(throttle.Options{FailuresPerSecond: c.FailureRate})
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "certgate_held_answers_total",
		Help: "Refusals that were held back because their source had failed too often.",
	}, func() float64 { return float64(guard.Held()) }))
	return guard
}
