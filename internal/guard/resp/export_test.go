package resp

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Conn is an authenticated connection to a Redis server.
type Conn = conn

// NewConn returns a connection that uses the socket. It performs a TLS handshake
// unless config is nil.
func NewConn(ctx context.Context, socket net.Conn, config *tls.Config, replyTimeout time.Duration) (*Conn, error) {
	return newConn(ctx, socket, config, replyTimeout)
}

// Do sends a command and returns an error unless the reply is the status OK.
func (c *conn) Do(ctx context.Context, args ...string) error { return c.doOK(ctx, args...) }

// IsQuiet reports whether the connection is open and has no unread bytes.
func (c *conn) IsQuiet() bool { return c.isQuiet() }

// ReadReply reads one reply and returns its text.
func ReadReply(r *bufio.Reader) (string, error) {
	answer, err := readReply(r)
	return answer.text, err
}

// IsQuiet reports whether no idle connection has unread bytes.
func (p *Pool) IsQuiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		if !c.isQuiet() {
			return false
		}
	}
	return true
}
