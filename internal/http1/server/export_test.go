//go:build linux

package server

import (
	"net/http"
	"net/url"
)

// Head is what the parser made of a header.
type Head struct {
	Method, Target, Host string
	URL                  *url.URL
	Header               http.Header
	Length               int64
}

// Parser is one connection's.
type Parser struct{ p parser }

// Parse finds the first header in b, as a connection does, and parses it. ok is
// false when it is not plain or not whole.
func (p *Parser) Parse(b []byte) (h Head, size int, ok bool) {
	parsed, size := p.read(b)
	if parsed == nil {
		return Head{}, 0, false
	}
	return Head{parsed.method, parsed.target, parsed.host, &parsed.url, parsed.header, parsed.length}, size, true
}

// Generation is that of the header that was parsed last.
func (p *Parser) Generation() uint64 { return p.p.generation }

func (p *Parser) read(b []byte) (h *head, size int) {
	if size = p.p.repeats(b); size > 0 {
		return &p.p.head, size
	}
	size, plain := endOfHead(b, 0)
	if !plain || size == 0 {
		return nil, 0
	}
	return p.p.parse(b[:size]), size
}

// LookedAt is the number of connections that the server's lookout looks at.
func (s *Server) LookedAt() int {
	s.lookout.mu.Lock()
	defer s.lookout.mu.Unlock()
	return len(s.lookout.sights)
}

// Blind keeps the lookout from looking at connections: the list has an element, so a
// look seems to be due.
func (s *Server) Blind() {
	s.lookout.mu.Lock()
	defer s.lookout.mu.Unlock()
	s.lookout.sights = append(s.lookout.sights, &sight{})
}

// BufferSize is how much is read at once.
const BufferSize = bufferSize

// IsDue reports whether somebody looks at a request of this age.
func IsDue(age uint) bool { return (&sight{age: age}).isDue() }

// Leave reports whether a connection in the phase now stays on the lookout's list, which
// lets go of it in the phase before.
func Leave(before, now uint64) bool {
	c := new(conn)
	c.isListed.Store(true)
	c.phase.Store(now)
	return c.leave(before) && c.isListed.Load()
}
