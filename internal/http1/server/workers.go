//go:build linux

package server

import (
	"sync"
	"time"
)

// maxIdleWorkers is how many workers are kept for later requests. More exist while more
// requests are served.
const maxIdleWorkers = 256

// workers are goroutines that serve requests. A handler needs a stack of 8 to 16 KiB. On the
// goroutine of its connection, each connection would have such a stack, and thousands of them
// do not fit into the processor's caches. The worker that became idle last is used first.
type workers struct {
	mu     sync.Mutex
	idle   []chan *conn // one for each idle worker
	closed bool
}

// serve gives the connection to a worker, which serves the requests that are whole in its buffer.
func (s *workers) serve(c *conn) {
	s.mu.Lock()
	var w chan *conn
	if n := len(s.idle); n > 0 {
		w, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if w == nil {
		w = make(chan *conn, 1)
		go s.run(w)
	}
	c.turn.Store(working)
	w <- c
}

// run is a worker.
func (s *workers) run(w chan *conn) {
	for c := range w {
		c.serveAsWorker()
		if !s.put(w) {
			return
		}
	}
}

// put makes the worker idle. It returns false if the worker has to end.
func (s *workers) put(w chan *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdleWorkers {
		return false
	}
	s.idle = append(s.idle, w)
	return true
}

// close ends the workers, each after its present request.
func (s *workers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, w := range s.idle {
		close(w)
	}
	s.idle = nil
}

// serveAsWorker calls [conn.serveBuffered] and gives the connection back to its goroutine, with
// stepFail if the call did not return, because of a panic or a handler that ends its goroutine.
func (c *conn) serveAsWorker() {
	next := stepFail
	defer func() {
		c.logPanic(recover())
		c.giveBack(next)
	}()
	next = c.serveBuffered()
}

// The turn of a connection tells who may use it. Its goroutine usually waits for the next request
// meanwhile, so that it need not run when a worker is done.
const (
	waiting uint32 = iota // the connection's goroutine
	working               // a worker
	awaited               // a worker, and the connection's goroutine waits for it
)

// await waits until no worker has the connection. c.next is the worker's result then.
func (c *conn) await() {
	if c.turn.CompareAndSwap(working, awaited) {
		<-c.served
	}
}

// giveBack ends a worker's turn. If the connection's goroutine has anything to do but wait, a
// deadline in the past interrupts its wait.
func (c *conn) giveBack(next step) {
	if c.next = next; next == stepNext {
		c.refreshDeadline()
	} else {
		_ = c.net.SetReadDeadline(time.Unix(1, 0))
	}
	if c.turn.Swap(waiting) == awaited {
		c.served <- struct{}{}
	}
}
