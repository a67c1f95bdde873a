package replay

import "time"

// NewMemoryOf is a memory of another size.
func NewMemoryOf(capacity int) *Memory { return newMemory(capacity) }

const (
	MaxAhead = maxAhead
	Chunk    = chunk
)

// Places is how many entries there ever were in the memory.
func (m *Memory) Places() int {
	if m.table == nil {
		return 0
	}
	return int(m.table.fresh) - 1
}

// Known is how many clients the memory knows, and of how many seconds.
func (m *Memory) Known() (clients, seconds int) {
	return len(m.shares.numbers), len(m.table.seconds)
}

// NewRedisEvery is a Redis that is tried so often while it is gone.
func NewRedisEvery(o RedisOptions, rest time.Duration) *Redis { return newRedis(o, rest) }

// Name is what the nonce is called in Redis.
var Name = name

const FailuresInRow = failuresInRow
