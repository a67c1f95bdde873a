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

// NewPatientRedis makes a Redis that waits this long for the server: a busy machine
// must not make a test see a failure. While the server is gone it is tried every few
// milliseconds.
func NewPatientRedis(o RedisOptions, patience time.Duration) *Redis {
	return newRedis(o, timeouts{place: patience, answer: patience, whole: patience, rest: 10 * time.Millisecond})
}

// NewQuickRedis makes a Redis with the timeouts of the gateway, which is tried every
// few milliseconds while the server is gone.
func NewQuickRedis(o RedisOptions) *Redis {
	quick := serving()
	quick.rest = 10 * time.Millisecond
	return newRedis(o, quick)
}

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
func NewConn(ctx context.Context, socket net.Conn, config *tls.Config, answerIn time.Duration) (*Conn, error) {
	return newConn(ctx, socket, config, answerIn)
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
