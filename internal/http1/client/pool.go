package client

import (
	"sync"
	"time"
)

// maxIdleTime is how long a connection is kept without use.
const maxIdleTime = 60 * time.Second

// pool keeps connections for later. The last one used comes first: it is the
// most likely to be alive, and the others can grow old and go.
type pool struct {
	max int

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// get takes a connection, or nil. Whether it is still of use shows when it is
// used.
func (p *pool) get(now time.Time) *conn {
	for {
		cn := p.pop()
		// The other side may have forgotten an old one without a word.
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

// put keeps a connection, idle since cn.idleSince, and lets one go that has been
// idle for too long.
func (p *pool) put(cn *conn) {
	var old *conn
	p.mu.Lock()
	switch {
	case p.closed || len(p.idle) >= p.max:
		old = cn
	default:
		if len(p.idle) > 0 && cn.idleSince.Sub(p.idle[0].idleSince) > maxIdleTime {
			old = p.idle[0]
			p.idle = append(p.idle[:0], p.idle[1:]...)
		}
		p.idle = append(p.idle, cn)
	}
	p.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// closeAll closes what is idle; connections in use close when they come back.
func (p *pool) closeAll() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, cn := range idle {
		cn.close()
	}
}
