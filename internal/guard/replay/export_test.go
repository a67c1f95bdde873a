package replay

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"
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

// NewPatientRedis returns a Redis that waits for the server for the given time, so
// that a slow machine does not cause a failure. While the server is gone, Watch
// retries every few milliseconds.
func NewPatientRedis(o RedisOptions, patience time.Duration) *Redis {
	return newRedis(o, timeouts{acquire: patience, reply: patience, total: patience, retry: 10 * time.Millisecond})
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

// Conn is an authenticated connection to a Redis server.
type Conn = conn

// NewConn returns a connection that uses the socket. It performs a TLS handshake
// unless config is nil.
func NewConn(ctx context.Context, socket net.Conn, config *tls.Config, replyTimeout time.Duration) (*Conn, error) {
	return newConn(ctx, socket, config, replyTimeout)
}

// Do sends a command and returns an error unless the reply is the status OK.
func (c *conn) Do(ctx context.Context, args ...string) error { return c.do(ctx, args...) }

// IsQuiet reports whether the connection is open and has no unread bytes.
func (c *conn) IsQuiet() bool { return c.isQuiet() }

// ReadReply reads one reply and returns its text.
func ReadReply(r *bufio.Reader) (string, error) {
	answer, err := readReply(r)
	return answer.text, err
}
