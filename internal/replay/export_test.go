package replay

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"
)

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

// IsQuiet reports whether no idle connection has unread bytes.
func (r *Redis) IsQuiet() bool {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	for _, c := range r.pool.idle {
		if !c.isQuiet() {
			return false
		}
	}
	return true
}

// Conn is a connection.
type Conn = conn

// NewConn makes a connection of the socket, in TLS unless config is nil.
func NewConn(ctx context.Context, socket net.Conn, config *tls.Config) (*Conn, error) {
	return newConn(ctx, socket, config)
}

// Do sends a command that has to be answered with OK.
func (c *conn) Do(ctx context.Context, words ...string) error { return c.do(ctx, words...) }

// IsQuiet reports whether the connection is open and has no unread bytes.
func (c *conn) IsQuiet() bool { return c.isQuiet() }

// ReadReply reads one reply and describes it.
func ReadReply(r *bufio.Reader) (string, error) {
	answer, err := readReply(r)
	return answer.text, err
}
