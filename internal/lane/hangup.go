package lane

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"
)

// lookPeriod is the time between two looks at the requests that are answered.
// Most answers are out by then.
const lookPeriod = 50 * time.Millisecond

// lookout notices clients that go away while they wait for an answer. net/http
// reads in another goroutine for that, for every request; here only one that is
// the same at two looks has one, and it takes no bytes from the socket.
type lookout struct {
	mu      sync.Mutex
	hangups []*hangup // whose connection had a request at the last look, or since
}

// add has h looked at until its connection has no request.
func (l *lookout) add(h *hangup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangups = append(l.hangups, h)
	if len(l.hangups) == 1 {
		time.AfterFunc(lookPeriod, l.look)
	}
}

func (l *lookout) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangups = slices.DeleteFunc(l.hangups, func(h *hangup) bool { return !h.look() })
	if len(l.hangups) > 0 {
		time.AfterFunc(lookPeriod, l.look)
	}
}

// hangup cancels the context of a connection's request when the client goes
// away.
type hangup struct {
	c *conn

	mu      sync.Mutex
	body    *body         // of the request that is being answered, or nil
	seen    *body         // the same, at the last look
	listed  bool          // the lookout knows of it, or is about to
	looking chan struct{} // closed when the request's goroutine has ended; nil: it has none
}

// watch begins with a request.
func (h *hangup) watch(b *body) {
	h.mu.Lock()
	listed := h.listed
	h.body, h.listed = b, true
	h.mu.Unlock()
	if !listed {
		h.c.s.lookout.add(h)
	}
}

// unwatch ends with it.
func (h *hangup) unwatch() {
	h.mu.Lock()
	looking := h.looking
	h.body, h.looking = nil, nil
	h.mu.Unlock()
	if looking != nil {
		_ = h.c.net.SetReadDeadline(time.Unix(1, 0))
		<-looking
	}
}

// look reports whether the connection has a request. If that is the one of the
// last look, a goroutine begins to wait for the client. A client that still sends
// its body is heard by whoever reads it.
func (h *hangup) look() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	long := h.body != nil && h.body == h.seen
	h.seen, h.listed = h.body, h.body != nil
	if long && h.looking == nil && h.body.whole() {
		h.looking = make(chan struct{})
		_ = h.c.net.SetReadDeadline(time.Time{})
		go h.wait(h.looking)
	}
	return h.listed
}

// wait ends when the client says something or goes, or at the read deadline.
func (h *hangup) wait(ended chan<- struct{}) {
	defer close(ended)
	if h.c.ended() {
		h.c.cancel()
	}
}

// ended waits until the client sends, or its connection ends.
func (c *conn) ended() (ended bool) {
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			return false
		}
		ended = n == 0 || err != nil
		return true
	})
	return err == nil && ended
}
