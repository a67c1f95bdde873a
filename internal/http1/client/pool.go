package client

import (
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
	for {
		cn := p.pop()
		// A firewall may have dropped an old connection without notice.
		if cn == nil || now.Sub(cn.idleSince) <= maxIdleTime {
			return cn
		}
		cn.close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	cn := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return cn
}

// put adds a connection that has been idle since cn.idleSince, and closes one that has been
// idle for too long.
func (p *pool) put(cn *conn) {
	var surplus *conn
	p.mu.Lock()
	switch {
	case p.closed || len(p.idle) >= p.max:
		surplus = cn
	default:
		if len(p.idle) > 0 && cn.idleSince.Sub(p.idle[0].idleSince) > maxIdleTime {
			surplus = p.idle[0]
			p.idle = append(p.idle[:0], p.idle[1:]...)
		}
		p.idle = append(p.idle, cn)
	}
	p.mu.Unlock()
	if surplus != nil {
		surplus.close()
	}
}

// closeAll closes the idle connections. Connections in use are closed when they are put
// back.
func (p *pool) closeAll() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, cn := range idle {
		cn.close()
	}
}
