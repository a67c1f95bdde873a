package client

import (
	"slices"
	"sync"
	"time"
)

// maxIdleTime is how long an idle connection is kept.
const maxIdleTime = 60 * time.Second

// pool keeps idle connections. The connection that was used last is used first: it is the
// most likely to be open, and the others can expire.
type pool struct {
	max int

	mu     sync.Mutex
	idle   []*conn // by idleSince, in ascending order
	closed bool
}

// get returns an idle connection, or nil. The upstream may have closed it, which is found
// when the connection is used.
func (p *pool) get(now time.Time) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		cn := p.idle[n-1]
		p.idle = slices.Delete(p.idle, n-1, n)
		if now.Sub(cn.idleSince) <= maxIdleTime {
			return cn
		}
		cn.close() // a firewall may have dropped an old connection without notice
	}
	return nil
}

// put adds a connection that has been idle since cn.idleSince, and closes one that has been
// idle for too long.
func (p *pool) put(cn *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.max {
		cn.close()
		return
	}
	if len(p.idle) > 0 && cn.idleSince.Sub(p.idle[0].idleSince) > maxIdleTime {
		p.idle[0].close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.idle = append(p.idle, cn)
}

// closeAll closes the idle connections. Connections in use are closed when they are put
// back.
func (p *pool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cn := range p.idle {
		cn.close()
	}
	p.idle, p.closed = nil, true
}
