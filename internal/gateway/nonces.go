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

// nonceStore stores the nonces of verified signatures: in Redis, in the process, or in
// both. It outlives the gates, because a reload must not make a used nonce valid again.
type nonceStore struct {
	httpsig.Nonces

	redis  *replay.Redis  // nil without Redis
	memory *replay.Memory // nil if only Redis stores nonces
}

// newNonceStore returns the nonce store of a configuration and registers the metric of Redis.
func newNonceStore(c config.Config, log *zap.Logger, r prometheus.Registerer) nonceStore {
	if c.Redis.IsZero() {
		memory := replay.NewMemory()
		return nonceStore{Nonces: memory, memory: memory}
	}
	o := replay.RedisOptions{Server: c.Redis, ClockSkew: c.Limits.ClockSkew, Report: redisReporter(c, log)}
	if c.RedisRemember {
		o.Memory = replay.NewMemory()
	}
	redis := replay.NewRedis(o)
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "certgate_redis_up",
		Help: "1 while Redis stores the nonces of signed requests, 0 while it does not respond.",
	}, func() float64 { return toFloat(redis.Up()) }))
	return nonceStore{Nonces: redis, redis: redis, memory: o.Memory}
}

// stored returns the number of nonces in the process, and the maximum. It is called only if
// the process stores nonces.
func (n nonceStore) stored() (used, capacity int64) {
	return int64(n.memory.Len(time.Now())), replay.Capacity
}

// watch monitors Redis until ctx is done. Without Redis it returns immediately.
func (n nonceStore) watch(ctx context.Context) {
	if n.redis != nil {
		n.redis.Watch(ctx)
	}
}

// redisReporter returns a function that logs each change of the state of Redis.
func redisReporter(c config.Config, log *zap.Logger) func(replay.Event, error) {
	log = log.With(zap.String("redis", c.Redis.String()))
	gone := "redis is out: signed requests are refused"
	if c.RedisRemember {
		gone = "redis is out: each replica stores nonces itself"
	}
	return func(event replay.Event, err error) {
		switch event {
		case replay.Gone:
			log.Error(gone, zap.Error(err))
		case replay.Back:
			log.Info("redis is back")
		case replay.MayEvict:
			log.Warn("redis may evict nonces before they expire", zap.Error(err))
		}
	}
}
