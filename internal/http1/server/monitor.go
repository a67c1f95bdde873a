//go:build linux

package server

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// scanPeriod is the time between two scans of a server's connections.
const scanPeriod = 50 * time.Millisecond

// monitor finds what no readiness event reports: clients that hang up while their request
// is served, and an end of the stream that arrived together with a request. net/http has a
// second goroutine for each connection that reads during a request; the monitor peeks at
// all sockets every [scanPeriod] and consumes no bytes. It checks connections that have had
// a request since the last scan, and those that still have one.
type monitor struct {
	mu    sync.Mutex
	added []*entry // registered since the last scan
	size  int      // entries in both lists; a scan is due unless it is 0

	entries []*entry // used by the scan alone, without the lock
}

// entry is a connection as the last scan found it.
type entry struct {
	c     *conn
	phase uint64
	age   uint // scans that found the same phase
}

// add registers a connection. It never waits for a scan.
func (m *monitor) add(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.added = append(m.added, &entry{c: c})
	if m.size++; m.size == 1 {
		time.AfterFunc(scanPeriod, m.scan)
	}
}

// scan checks every connection once. The next scan is started at its end, so there is one
// at a time.
func (m *monitor) scan() {
	m.mu.Lock()
	m.entries = append(m.entries, m.added...)
	m.added = nil
	m.mu.Unlock()

	m.entries = slices.DeleteFunc(m.entries, func(e *entry) bool { return !e.check() })

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.size = len(m.entries) + len(m.added); m.size > 0 {
		time.AfterFunc(scanPeriod, m.scan)
	}
}

// check looks at the connection and reports whether it stays registered.
func (e *entry) check() bool {
	c, phase := e.c, e.c.phase.Load()
	switch {
	case phase == retired:
		return false
	case phase != e.phase:
		e.phase, e.age = phase, 0
		return true
	case isBusy(phase):
		e.age++
		if e.isDue() && c.unread.Load() == 0 {
			if _, ended := c.peek(); ended {
				c.cancel()
			}
		}
		return true
	default:
		c.wake()
		return c.unregister(phase)
	}
}

// isDue reports whether this scan peeks at the socket. The longer a request takes, the fewer
// scans peek at its socket: in the end every 16th, which is once in 0.8 s.
func (e *entry) isDue() bool { return e.age%16 == 0 || e.age&(e.age-1) == 0 }

// unregister removes the connection from the monitor, unless a request has begun since the
// phase was read and [conn.startRequest] has found the connection still registered. It reports
// whether the connection stays.
func (c *conn) unregister(phase uint64) (stays bool) {
	c.isRegistered.Store(false)
	return c.phase.Load() != phase && c.isRegistered.CompareAndSwap(false, true)
}

// wake makes the connection's goroutine read what no readiness event reports any more:
// the end of the stream that arrived with the last request, or bytes after urgent data,
// where a read stops short.
func (c *conn) wake() {
	switch readable, ended := c.peek(); {
	case ended:
		_ = c.net.CloseRead() // nothing can be read after the end
	case readable:
		_ = c.raw.Control(func(fd uintptr) {
			// SO_RCVLOWAT is already 1. Setting it again makes Linux re-evaluate
			// readability and raise a new epoll edge for data already queued
			// (tcp_set_rcvlowat).
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, 1)
		})
	}
}

// peek reports whether the socket has bytes, and whether the client has closed its side or the
// connection failed. It consumes nothing.
func (c *conn) peek() (readable, ended bool) {
	_ = c.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, err := nonblock.Peek(fd, b[:])
		readable, ended = n > 0, n == 0 && !errors.Is(err, syscall.EAGAIN)
	})
	return readable, ended
}
