package resp

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errClosed is returned by a [Pool] after Close.
var errClosed = errors.New("the connections have been closed")

// Pool lends at most a fixed number of connections to one server. It is safe for
// concurrent use.
type Pool struct {
	login  *login
	limits Limits
	places chan struct{} // one element for each connection that is in use

	mu     sync.Mutex
	idle   []*conn // in the order of their last use
	open   map[*conn]struct{}
	closed bool
}

// Limits limit the time that one command can take.
type Limits struct {
	Acquire time.Duration // to wait for a free connection
	Reply   time.Duration // to send the command and to read its reply
}

// NewPool returns a pool of at most size connections to a server. It does not connect.
func NewPool(s Server, size int, l Limits) *Pool {
	return &Pool{login: s.login, limits: l, places: make(chan struct{}, size), open: map[*conn]struct{}{}}
}

// Do sends a command once, on a connection that it does not share with another
// command, and returns the reply. It waits at most limits.Acquire for a connection.
func (p *Pool) Do(ctx context.Context, args ...string) (Reply, error) {
	if err := p.enter(ctx); err != nil {
		return Reply{}, err
	}
	defer func() { <-p.places }()
	c, err := p.take(ctx)
	if err != nil {
		return Reply{}, err
	}
	answer, err := c.do(ctx, args...)
	if _, answered := errors.AsType[ServerError](err); err == nil || answered {
		p.give(c)
	} else {
		p.discard(c)
	}
	return answer, err
}

func (p *Pool) enter(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.limits.Acquire)
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
func (p *Pool) take(ctx context.Context) (*conn, error) {
	for c := p.pop(); c != nil; c = p.pop() {
		if c.isQuiet() {
			return c, nil
		}
		p.discard(c)
	}
	c, err := dial(ctx, p.login, p.limits.Reply)
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

func (p *Pool) pop() *conn {
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
func (p *Pool) give(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed { // Close has closed the connection
		p.idle = append(p.idle, c)
	}
}

func (p *Pool) discard(c *conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close() // no write is pending, so the error does not matter
}

// Close closes every connection. A connection that is being dialled is closed as soon
// as it is established.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle = nil
	for c := range p.open {
		_ = c.Close() // no write is pending, so the error does not matter
	}
	clear(p.open)
}
