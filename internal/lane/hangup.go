package lane

import (
	"errors"
	"sync"
	"syscall"
	"time"
)

// hangupDelay is how long a request is answered before anybody looks whether
// the client still waits. Most answers are out by then.
const hangupDelay = 50 * time.Millisecond

// hangup cancels the context of a connection's request when the client goes
// away. net/http reads in another goroutine for that, for every request; here
// only long ones have one, and it takes no bytes from the socket.
type hangup struct {
	c     *conn
	timer *time.Timer

	mu      sync.Mutex
	body    *body         // of the request that is being answered, or nil
	looking chan struct{} // closed when the goroutine has ended; nil: none runs
	looked  bool          // one ran for the last request; for the connection's goroutine
}

// watch begins with a request.
func (h *hangup) watch(b *body) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.body = b
	if h.timer == nil {
		h.timer = time.AfterFunc(hangupDelay, h.look)
		return
	}
	h.timer.Reset(hangupDelay)
}

// unwatch ends with it.
func (h *hangup) unwatch() {
	h.timer.Stop()
	h.mu.Lock()
	h.body = nil
	looking := h.looking
	h.looking = nil
	h.looked = looking != nil
	h.mu.Unlock()
	if looking != nil {
		_ = h.c.net.SetReadDeadline(time.Unix(1, 0))
		<-looking
	}
}

func (h *hangup) stop() {
	if h.timer != nil {
		h.timer.Stop()
	}
}

// look runs in the timer's goroutine until the client says something or goes. A
// client that still sends its body is heard by whoever reads it.
func (h *hangup) look() {
	h.mu.Lock()
	if h.body == nil || h.looking != nil {
		h.mu.Unlock()
		return
	}
	if !h.body.whole() {
		h.timer.Reset(hangupDelay)
		h.mu.Unlock()
		return
	}
	looking := make(chan struct{})
	h.looking = looking
	_ = h.c.net.SetReadDeadline(time.Time{})
	h.mu.Unlock()
	defer close(looking)
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
