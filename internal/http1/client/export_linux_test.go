package client

import "syscall"

// SetSendBuffers sets the size of the send buffers of the idle connections, in bytes.
func (c *Client) SetSendBuffers(size int) (err error) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, cn := range c.pool.idle {
		_ = cn.raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, size)
		})
	}
	return err
}
