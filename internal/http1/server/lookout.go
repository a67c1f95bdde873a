//go:build linux

package server

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"
)

// lookPeriod is the time between two looks at a server's connections.
const lookPeriod = 50 * time.Millisecond

// lookout finds the clients that went away and could not be heard: net/http reads
// beside every request for that, here somebody looks now and then, and takes no
// bytes from the socket. It looks at connections that have had a request since the
// last look, and at those that still have it.
type lookout struct {
	mu     sync.Mutex
	sights []*sight
}

// sight is a connection as it was at the last look.
type sight struct {
	c     *conn
	phase uint64
	age   uint // looks that found the same phase
}

// add has the connection looked at.
func (l *lookout) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sights = append(l.sights, &sight{c: c})
	if len(l.sights) == 1 {
		time.AfterFunc(lookPeriod, l.look)
	}
}

func (l *lookout) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sights = slices.DeleteFunc(l.sights, func(s *sight) bool { return !s.again() })
	if len(l.sights) > 0 {
		time.AfterFunc(lookPeriod, l.look)
	}
}

// again looks, and reports whether there is more to look at.
func (s *sight) again() bool {
	c, phase := s.c, s.c.phase.Load()
	switch {
	case phase == retired:
		return false
	case phase != s.phase:
		s.phase, s.age = phase, 0
		return true
	case isBusy(phase):
		s.age++
		if s.isDue() && c.isWhole.Load() && c.unread() == end {
			c.cancel()
		}
		return true
	default:
		c.rouse()
		return c.leave(phase)
	}
}

// isDue: the longer a request takes, the less often somebody looks, every 0.8 s in
// the end.
func (s *sight) isDue() bool { return s.age%16 == 0 || s.age&(s.age-1) == 0 }

// show has the lookout look at the connection, which has a request.
func (c *conn) show() {
	if !c.isListed.Load() && c.isListed.CompareAndSwap(false, true) {
		c.s.lookout.add(c)
	}
}

// leave takes the connection off the list, unless a request has begun since the
// phase and [conn.show] has left it to the lookout. It reports whether it stays.
func (c *conn) leave(phase uint64) (stays bool) {
	c.isListed.Store(false)
	return c.phase.Load() != phase && c.isListed.CompareAndSwap(false, true)
}

// rouse wakes whoever waits to read what no event tells of any more: the end that came
// together with the last request, or what stands behind urgent data, at which a read
// stops short.
func (c *conn) rouse() {
	switch c.unread() {
	case end:
		_ = c.net.CloseRead() // there is nothing to read behind it
	case something:
		_ = c.raw.Control(func(fd uintptr) {
			// It is 1 already. But to set it is to be told what is there: tcp_set_rcvlowat.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, 1)
		})
	case nothing:
	}
}

// unread is what a read would find.
type unread int

const (
	nothing unread = iota
	something
	end // the client has gone, and all that it said before is read
)

func (c *conn) unread() (found unread) {
	_ = c.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		case n > 0:
			found = something
		default:
			found = end
		}
	})
	return found
}
