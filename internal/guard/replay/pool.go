package replay

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errClosed is returned by a pool after close.
var errClosed = errors.New("the connections have been closed")

// pool lends at most a fixed number of connections to one server. It is safe for
// concurrent use.
type pool struct {
	login  *login
	limits timeouts
	places chan struct{} // one element for each connection that is in use

	mu     sync.Mutex
	idle   []*conn // the last one was used last
	open   map[*conn]struct{}
	closed bool
}

func newPool(l *login, size int, t timeouts) *pool {
	return &pool{login: l, limits: t, places: make(chan struct{}, size), open: map[*conn]struct{}{}}
}

// ask sends a command once, on a connection that it does not share with another
// command, and returns the reply. It waits at most limits.acquire for a connection.
func (p *pool) ask(ctx context.Context, args ...string) (reply, error) {
	if err := p.enter(ctx); err != nil {
		return reply{}, err
	}
	defer func() { <-p.places }()
	c, err := p.take(ctx)
	if err != nil {
		return reply{}, err
	}
	answer, err := c.ask(ctx, args...)
	if _, answered := errors.AsType[serverError](err); err == nil || answered {
		p.give(c)
	} else {
		p.discard(c)
	}
	return answer, err
}

func (p *pool) enter(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.limits.acquire)
	defer timer.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("every connection is in use")
	}
}

// take returns the idle connection that was used last, or a new one. Idle
// connections that are closed or hold unread bytes are discarded.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for c := p.pop(); c != nil; c = p.pop() {
		if c.isQuiet() {
			return c, nil
		}
		p.discard(c)
	}
	c, err := dial(ctx, p.login, p.limits.reply)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(errClosed, c.Close())
	}
	p.open[c] = struct{}{}
	return c, nil
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

// give returns a connection to the pool. Its last reply must have been read completely.
func (p *pool) give(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed { // close has closed the connection
		p.idle = append(p.idle, c)
	}
}

func (p *pool) discard(c *conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close() // no write is pending, so the error does not matter
}

// close closes every connection. A connection that is being dialled is closed as soon
// as it is established.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle = nil
	for c := range p.open {
		_ = c.Close() // no write is pending, so the error does not matter
	}
	clear(p.open)
}
