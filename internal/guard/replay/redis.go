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
	"github.com/certgate/certgate/internal/guard/resp"
)

const (
	// prefix starts the name of every key, so that an access control list of the
	// server can name these keys.
	prefix = "certgate:nonce:"
	// connections is the largest number of connections to the server. Each carries a
	// few thousand nonces a second.
	connections = 32
	// failuresInRow is the number of consecutive failures after which the server
	// counts as gone.
	failuresInRow = 5
)

// timeouts limit the time that one command can take.
type timeouts struct {
	resp.Limits

	total time.Duration // for the whole command, including the wait and the dial
	retry time.Duration // between two attempts to reach a server that is gone
}

// serving returns the timeouts of the gateway.
func serving() timeouts {
	return timeouts{Limits: resp.Limits{Acquire: 500 * time.Millisecond, Reply: 500 * time.Millisecond}, total: time.Second, retry: time.Second}
}

// Event is a change of the state of the Redis server.
type Event string

// The events.
const (
	Gone     Event = "gone"      // the server does not accept nonces
	Back     Event = "back"      // the server accepts nonces again
	MayEvict Event = "forgetful" // the server accepts nonces but may evict them before they expire
)

// RedisOptions configure a [Redis]. Server and Report are required.
type RedisOptions struct {
	Server resp.Server
	// ClockSkew is the largest difference between the clocks of the gateways that
	// share the server. Larger values are reduced to five minutes. Nonces are stored
	// for that much longer.
	ClockSkew time.Duration
	// Memory, if set, decides about nonces while the server is gone. It also stores
	// every nonce while the server is up, so that this process never accepts a nonce
	// twice. If it is nil, every nonce is refused while the server is gone.
	Memory *Memory
	// Report is called when the state of the server changes. The error is the cause;
	// it is nil for Back and contains neither user nor password. Report is called by
	// several goroutines and must not block.
	Report func(Event, error)
}

// Redis stores nonces in a Redis server, for all gateways that use the same server.
// It is safe for concurrent use. Use [NewRedis] to create one, and run [Redis.Watch].
//
// Using a nonce sends one SET NX EX, once. A second SET, sent because the reply
// to the first was lost, could find the nonce that the first SET wrote. A nonce is
// refused when no reply arrives in time, although the server may have stored it.
//
// The reply OK means that a nonce is new, and the reply nil that it was used. Any
// other reply counts as a failure. After five failures in a row the server counts as
// gone, and requests no longer wait for it. Watch then retries once a second, in the
// background, until the server stores a key.
type Redis struct {
	pool   *resp.Pool
	server resp.Server
	skew   time.Duration
	memory *Memory
	report func(Event, error)
	limits timeouts

	// epoch is odd while the server is gone. The result of a command that started in
	// another epoch is ignored.
	epoch    atomic.Int64
	failures atomic.Int64 // in a row
	gone     chan struct{}
}

// NewRedis returns a Redis. It does not connect to the server.
func NewRedis(o RedisOptions) *Redis { return newRedis(o, serving()) }

func newRedis(o RedisOptions, t timeouts) *Redis {
	return &Redis{
		pool: resp.NewPool(o.Server, connections, t.Limits), server: o.Server, skew: min(o.ClockSkew, maxSkew),
		memory: o.Memory, report: o.Report, limits: t,
		gone: make(chan struct{}, 1),
	}
}

// Up reports whether the server accepted nonces the last time it was used.
func (r *Redis) Up() bool { return r.epoch.Load()%2 == 0 }

// Use implements [httpsig.Nonces]. It also refuses with ProofExpired a nonce that
// has expired, and with Internal an invalid nonce.
func (r *Redis) Use(n httpsig.Nonce) error {
	if d := check(n); d != nil {
		return d
	}
	// The memory comes first, so that it also holds every nonce that is sent to the
	// server and can take over when the server is gone.
	if r.memory != nil {
		if err := r.memory.Use(n); err != nil {
			return err
		}
	}
	epoch := r.epoch.Load()
	if epoch%2 == 1 {
		return r.decideWithoutServer("it does not reply")
	}
	first, err := r.set(context.Background(), name(n), r.lifetime(n))
	if err != nil {
		err = r.server.Explain(err)
		r.failed(epoch, err)
		return r.decideWithoutServer(err.Error())
	}
	if r.failures.Load() != 0 { // avoids a write to a shared cache line for each request
		r.failures.Store(0)
	}
	if !first {
		return replayed()
	}
	return nil
}

// decideWithoutServer decides about a nonce when the server cannot. why is the cause.
func (r *Redis) decideWithoutServer(why string) error {
	if r.memory != nil { // the memory has accepted the nonce, see Use
		return nil
	}
	return overloaded("want redis to report whether the nonce is new, found: %s", why)
}

// set sends a command that stores a name, and reports whether the name is new. The reply
// OK means that it is new, and the reply nil that it exists; any other reply is an
// error.
func (r *Redis) set(ctx context.Context, name string, lifetime time.Duration) (first bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.total)
	defer cancel()
	seconds := strconv.FormatInt(int64(lifetime/time.Second), 10)
	answer, err := r.pool.Do(ctx, "SET", name, "1", "EX", seconds, "NX")
	switch {
	case err != nil:
		return false, err
	case answer.IsOK():
		return true, nil
	case answer.IsNil():
		return false, nil
	default:
		return false, fmt.Errorf("want the status OK or nil, found %s", answer)
	}
}

// name returns the Redis key of a nonce. All gateways must compute the same name. A
// collision can refuse a new nonce but cannot accept a used one.
func name(n httpsig.Nonce) string {
	text := make([]byte, 0, 256)
	sum := sha256.Sum256(append(append(text, n.Key[:]...), n.Value...))
	return prefix + hex.EncodeToString(sum[:len(digest{})])
}

// lifetime returns how long the server has to store the nonce, in whole seconds:
// until it expires by a clock that is behind by the skew, plus one second for the
// transmission.
func (r *Redis) lifetime(n httpsig.Nonce) time.Duration {
	left := n.Until.Sub(n.Now) + r.skew + time.Second
	return (left + time.Second - 1).Truncate(time.Second)
}
