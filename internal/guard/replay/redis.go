package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
)

const (
	// prefix is what the names of all keys begin with, for the server's access
	// control lists.
	prefix = "certgate:nonce:"
	// connections to the server at most; each carries some thousand nonces a second.
	connections = 32
	// failuresInRow without an answer mean that the server is gone.
	failuresInRow = 5
)

// timeouts bound what one command can cost.
type timeouts struct {
	place  time.Duration // to wait for a connection that is not in use
	answer time.Duration // to send the command and to read its reply
	whole  time.Duration // all of it, dialling included
	rest   time.Duration // between two tries whether the server is back
}

// serving returns the timeouts of the gateway.
func serving() timeouts {
	return timeouts{place: 500 * time.Millisecond, answer: 500 * time.Millisecond, whole: time.Second, rest: time.Second}
}

// Event is what became of the Redis server.
type Event string

// The events.
const (
	Gone      Event = "gone"      // it takes no nonces
	Back      Event = "back"      // it does again
	Forgetful Event = "forgetful" // it does, and may forget them before their time
)

// RedisOptions are what a [Redis] is made of. Server and Report are required.
type RedisOptions struct {
	Server Server
	// ClockSkew is how far the clocks of those who share the server may be apart; at
	// most five minutes count. Nonces are remembered that much longer.
	ClockSkew time.Duration
	// Memory, when given, decides while the server is gone. It is told of every
	// nonce, so what passed here does not pass here again. Nil: nothing passes
	// while the server is gone.
	Memory *Memory
	// Report is told what became of the server; the error says why, is nil for
	// Back, and has neither user nor password in it. It is called by several
	// goroutines and must not wait.
	Report func(Event, error)
}

// Redis remembers nonces in a Redis server, for all gateways that use the same
// server. It is safe for concurrent use; [NewRedis] makes one, and [Redis.Watch] has
// to run.
//
// Spending a nonce sends one SET NX EX, once: a second SET, sent because the answer
// to the first is lost, could find the nonce that the first SET wrote. A nonce is
// refused when no answer arrives in time, although the server may have stored it.
//
// Only the status OK means that a nonce is new, and only nil that it was used. Any
// other answer counts as a failure. After five failures in a row the server counts
// as gone, and requests do not wait for it any more. It is tried once a second, in
// the background, until it takes a key.
//
// The protocol is read here and not by a library: go-redis, which was used before,
// takes any type of reply for a status, and a stated length made it allocate
// gigabytes or panic.
type Redis struct {
	pool   *pool
	server Server
	skew   time.Duration
	memory *Memory
	report func(Event, error)
	limits timeouts

	// epoch is odd while the server is gone. What began in another epoch says
	// nothing about this one.
	epoch    atomic.Int64
	failures atomic.Int64 // in a row
	gone     chan struct{}
}

// NewRedis makes a Redis. It does not talk to the server yet.
func NewRedis(o RedisOptions) *Redis { return newRedis(o, serving()) }

func newRedis(o RedisOptions, t timeouts) *Redis {
	return &Redis{
		pool: newPool(o.Server.login, connections, t), server: o.Server, skew: min(o.ClockSkew, maxSkew),
		memory: o.Memory, report: o.Report, limits: t,
		gone: make(chan struct{}, 1),
	}
}

// Up reports whether the server takes nonces, as far as is known.
func (r *Redis) Up() bool { return r.epoch.Load()%2 == 0 }

// Spend is that of [httpsig.Nonces]. It also refuses with ProofExpired what is over,
// and with Internal what is no nonce.
func (r *Redis) Spend(n httpsig.Nonce) error {
	if d := check(n); d != nil {
		return d
	}
	// First, so that what the server is asked to remember is remembered here, too,
	// should it be gone afterwards.
	if r.memory != nil {
		if err := r.memory.Spend(n); err != nil {
			return err
		}
	}
	epoch := r.epoch.Load()
	if epoch%2 == 1 {
		return r.without("it gives no answers")
	}
	first, err := r.set(context.Background(), name(n), r.lifetime(n))
	if err != nil {
		err = r.explain(err)
		r.failed(epoch, err)
		return r.without(err.Error())
	}
	if r.failures.Load() != 0 { // mostly there is nothing to write
		r.failures.Store(0)
	}
	if !first {
		return replayed()
	}
	return nil
}

// without decides when the server cannot.
func (r *Redis) without(why string) error {
	if r.memory != nil { // which has accepted it
		return nil
	}
	return overloaded("redis does not say whether the nonce is new: %s", why)
}

// set asks the server to remember a name, and reports whether the name is new. Only
// the status OK says that it is new, and only nil that it is known; any other answer
// is an error.
func (r *Redis) set(ctx context.Context, name string, lifetime time.Duration) (first bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.whole)
	defer cancel()
	seconds := strconv.FormatInt(int64(lifetime/time.Second), 10)
	answer, err := r.pool.ask(ctx, "SET", name, "1", "EX", seconds, "NX")
	switch {
	case err != nil:
		return false, err
	case answer.isOK():
		return true, nil
	case answer.kind == nilReply:
		return false, nil
	default:
		return false, fmt.Errorf("want the status OK or nil, found %s", answer)
	}
}

// name is one key in Redis, the same for everybody. A collision would only refuse.
func name(n httpsig.Nonce) string {
	text := make([]byte, 0, 256)
	sum := sha256.Sum256(append(append(text, n.Key[:]...), n.Value...))
	return prefix + hex.EncodeToString(sum[:len(digest{})])
}

// lifetime is how long the server has to remember the nonce, in whole seconds: to
// its end by the clock that is the furthest behind, and a second for the way.
func (r *Redis) lifetime(n httpsig.Nonce) time.Duration {
	left := n.Until.Sub(n.Now) + r.skew + time.Second
	return (left + time.Second - 1).Truncate(time.Second)
}
