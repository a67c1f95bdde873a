//go:build linux

package server

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// Head is a parsed header.
type Head struct {
	Method, Target, Host string
	URL                  *url.URL
	Header               http.Header
	Length               int64
}

// Parse finds and parses the first header in b, as a connection does, in memory that had another
// request before. ok is false when the header is not plain or not complete.
func Parse(b []byte, intern func([]byte) (string, bool)) (h Head, size int, ok bool) {
	var lines syntax.Scanner
	size, plain := lines.Head(b)
	if !plain || size == 0 {
		return Head{}, 0, false
	}
	other := []byte("PUT /other?q HTTP/1.1\r\nHost: other\r\nX: 1\r\nX: 2\r\nOther: 3\r\nContent-Length: 9\r\n\r\n")
	p := parseHead(new(head), other, syntax.Line{}, nil, new(http.Request))
	if p = parseHead(p, b[:size], lines.Longest, intern, new(http.Request)); p == nil {
		return Head{}, 0, false
	}
	r := &p.request
	return Head{r.Method, r.RequestURI, r.Host, r.URL, r.Header, r.ContentLength}, size, true
}

// KeptFields returns how many fields are in the header whose memory is kept for the next request, when
// one with a Host and n other fields has been parsed.
func KeptFields(n int) int {
	b := []byte("GET / HTTP/1.1\r\nHost: h\r\n")
	for i := range n {
		b = fmt.Appendf(b, "F%d: 1\r\n", i)
	}
	h := parseHead(new(head), append(b, lineEnd...), syntax.Line{}, nil, new(http.Request))
	return len(h.header)
}

// Monitored returns the number of connections that the monitor checks.
func (s *Server) Monitored() int {
	s.monitor.mu.Lock()
	defer s.monitor.mu.Unlock()
	return s.monitor.size
}

// DisableMonitor prevents every scan: the size is not 0, so one seems to be due.
func (s *Server) DisableMonitor() {
	s.monitor.mu.Lock()
	defer s.monitor.mu.Unlock()
	s.monitor.size++
}

// BufferSize is the size of the read buffer.
const BufferSize = bufferSize

// IsDue reports whether the monitor peeks at the socket of a request of this age.
func IsDue(age uint) bool { return (&entry{age: age}).isDue() }

// Unregister reports whether a connection that is in the phase now stays registered when the
// monitor removes it because of the phase before.
func Unregister(before, now uint64) bool {
	c := new(conn)
	c.isRegistered.Store(true)
	c.phase.Store(now)
	return c.unregister(before) && c.isRegistered.Load()
}

// MaxIdleWorkers is how many workers are kept.
const MaxIdleWorkers = maxIdleWorkers

// IdleWorkers returns the number of idle workers.
func (s *Server) IdleWorkers() int {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	return len(s.workers.idle)
}
