package client

import (
	"runtime"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// InitialDeadline is the deadline of a request that has no other.
const InitialDeadline = initialDeadline

// MaxIdleTime is how long an idle connection is kept.
const MaxIdleTime = maxIdleTime

// AwaitDead waits until the connection that would be used next is no longer quiescent,
// because the end or the bytes from the upstream have arrived.
func (c *Client) AwaitDead() {
	for {
		c.pool.mu.Lock()
		n := len(c.pool.idle)
		dead := n > 0
		if dead {
			_ = c.pool.idle[n-1].raw.Control(func(fd uintptr) { dead = !nonblock.Quiescent(fd) })
		}
		c.pool.mu.Unlock()
		if dead {
			return
		}
		runtime.Gosched()
	}
}

// Idle returns the number of idle connections.
func (c *Client) Idle() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return len(c.pool.idle)
}

// Age makes the first n idle connections older.
func (c *Client) Age(n int, by time.Duration) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, cn := range c.pool.idle[:n] {
		cn.idleSince = cn.idleSince.Add(-by)
	}
}

// SetTimeout changes Options.Timeout for the next requests.
func (c *Client) SetTimeout(d time.Duration) { c.options.Timeout = d }

// PassDeadline lets the deadlines of the idle connections expire.
func (c *Client) PassDeadline() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, cn := range c.pool.idle {
		_ = cn.net.SetDeadline(expired())
	}
}

// BufferSize returns the size of the buffer that a response holds, in bytes.
func BufferSize(res Response) int { return len(res.Body.(*body).cn.buf) }

// BufferAfterEmptyRead returns the size of the buffer that a connection holds when it was woken
// and its socket has no bytes.
func BufferAfterEmptyRead(fd uintptr) int {
	cn := &conn{client: new(Client)}
	if (&roundTrip{cn: cn}).onReadable(fd) {
		return -1
	}
	return len(cn.buf)
}
