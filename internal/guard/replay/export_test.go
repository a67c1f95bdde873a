package replay

import (
	"time"

	"github.com/certgate/certgate/internal/guard/resp"
)

// NewMemoryOf returns a memory that holds capacity nonces.
func NewMemoryOf(capacity int) *Memory { return newMemory(capacity) }

const (
	MaxAhead = maxAhead
	Chunk    = chunk
)

// Places returns the number of entries that have been used at least once.
func (m *Memory) Places() int {
	if m.table == nil {
		return 0
	}
	return int(m.table.fresh) - 1
}

// Known returns the number of clients and of seconds that the memory has entries for.
func (m *Memory) Known() (clients, seconds int) {
	return len(m.shares.numbers), len(m.table.seconds)
}

// NewRedisWithTimeout returns a Redis that waits for the server for the given time, so
// that a slow machine does not cause a failure. While the server is gone, Watch
// retries every few milliseconds.
func NewRedisWithTimeout(o RedisOptions, testTimeout time.Duration) *Redis {
	return newRedis(o, timeouts{Limits: resp.Limits{Acquire: testTimeout, Reply: testTimeout}, total: testTimeout, retry: 10 * time.Millisecond})
}

// NewQuickRedis returns a Redis with the timeouts of the gateway. While the server
// is gone, Watch retries every few milliseconds.
func NewQuickRedis(o RedisOptions) *Redis {
	quick := serving()
	quick.retry = 10 * time.Millisecond
	return newRedis(o, quick)
}

// Name returns the Redis key of a nonce.
var Name = name

const FailuresInRow = failuresInRow
