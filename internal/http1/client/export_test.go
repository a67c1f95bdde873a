package client

import (
	"runtime"
	"time"
)

// MaxIdleTime is for tests of the pool.
const MaxIdleTime = maxIdleTime

// AwaitDead returns when the connection that would serve next is of no use any
// more: what the other side did has arrived.
func (c *Client) AwaitDead() {
	for {
		c.pool.mu.Lock()
		n := len(c.pool.idle)
		dead := n > 0
		if dead {
			_ = c.pool.idle[n-1].raw.Control(func(fd uintptr) { dead = !Quiescent(fd) })
		}
		c.pool.mu.Unlock()
		if dead {
			return
		}
		runtime.Gosched()
	}
}

// Idle is how many connections are kept.
func (c *Client) Idle() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return len(c.pool.idle)
}

// Age makes the first n kept connections look older.
func (c *Client) Age(n int, by time.Duration) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, cn := range c.pool.idle[:n] {
		cn.idleSince = cn.idleSince.Add(-by)
	}
}

// SetTimeout changes Options.Timeout for the next requests.
func (c *Client) SetTimeout(d time.Duration) { c.options.Timeout = d }

// PassDeadline lets the deadlines that kept connections still have go by.
func (c *Client) PassDeadline() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, cn := range c.pool.idle {
		_ = cn.net.SetDeadline(expired())
	}
}
