package gateway

import (
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/usage"
)

// newUsage returns the inventory of the gateway and registers its metrics.
func (g *Gateway) newUsage() *usage.Store {
	s := usage.New(usage.Options{Now: time.Now, Rates: g.rateUse, Server: g.config.Redis, Report: g.reportSharing})
	g.registry.MustRegister(s.Collector())
	return s
}

// reportSharing logs that the exchange of the inventory fails, and that it succeeds again.
func (g *Gateway) reportSharing(err error) {
	log := g.log.With(zap.String("redis", g.config.Redis.String()))
	if err != nil {
		log.Warn("the inventory is not shared with other replicas", zap.Error(err))
		return
	}
	log.Info("the inventory is shared again")
}

// rateUse reports the use of the buckets of the rules in force.
func (g *Gateway) rateUse(now time.Time) func(rule, client string) (used float64, hasRate bool) {
	return g.gate.Load().Policy.RateUse(now)
}

// keyIDs returns the ids of the keyring in force, as in the log.
func (g *Gateway) keyIDs() (ids []string) {
	for _, a := range g.config.Keyring.Anchors() {
		ids = append(ids, a.ID().Short())
	}
	return ids
}
