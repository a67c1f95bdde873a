package gateway

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/guard/replay"
)

// nonces is where it is remembered which signatures were used: in Redis, in the
// process, or in both. It outlives the gates, for a reload forgets no signature.
type nonces struct {
	httpsig.Nonces
	redis *replay.Redis // nil: there is none
}

// newNonces is what a configuration asks for, with metrics registered with r.
func newNonces(c config.Config, log *zap.Logger, r prometheus.Registerer) nonces {
	if c.Redis.IsZero() {
		return nonces{Nonces: newMemory(r)}
	}
	o := replay.RedisOptions{Server: c.Redis, ClockSkew: c.Limits.ClockSkew, Report: redisReporter(c, log)}
	if c.RedisRemember {
		o.Memory = newMemory(r)
	}
	redis := replay.NewRedis(o)
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "certgate_redis_up",
		Help: "1 while Redis takes the nonces of signed requests, 0 while it gives no answers.",
	}, func() float64 {
		if redis.Up() {
			return 1
		}
		return 0
	}))
	return nonces{redis, redis}
}

// watch returns when ctx is done; at once when there is nothing to watch.
func (n nonces) watch(ctx context.Context) {
	if n.redis != nil {
		n.redis.Watch(ctx)
	}
}

func newMemory(r prometheus.Registerer) *replay.Memory {
	m := replay.NewMemory()
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "certgate_nonces",
			Help: "Nonces of signed requests that this process remembers.",
		}, func() float64 { return float64(m.Len(time.Now())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "certgate_nonces_capacity",
			Help: "Nonces that it can remember; a client may hold as many as are free.",
		}, func() float64 { return replay.Capacity }),
	)
	return m
}

// redisReporter logs what becomes of Redis, each change once.
func redisReporter(c config.Config, log *zap.Logger) func(replay.Event, error) {
	log = log.With(zap.String("redis", c.Redis.String()))
	lost := "redis is out: signed requests are refused"
	if c.RedisRemember {
		lost = "redis is out: each replica remembers signatures for itself"
	}
	return func(event replay.Event, err error) {
		switch event {
		case replay.Gone:
			log.Error(lost, zap.Error(err))
		case replay.Back:
			log.Info("redis is back")
		case replay.Forgetful:
			log.Warn("redis may forget which signatures were used", zap.Error(err))
		}
	}
}
