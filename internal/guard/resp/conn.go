package resp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// conn is an authenticated connection to a Redis server. It must not be used by
// several goroutines at the same time.
type conn struct {
	net.Conn                     // TLS, if the login requires it
	socket       net.Conn        // the TCP connection under TLS
	raw          syscall.RawConn // gives access to the file descriptor of socket
	replies      *bufio.Reader
	replyTimeout time.Duration // time limit for one command and its reply
}

// Close closes the socket immediately. It skips the TLS alert, because writing the
// alert can take seconds.
func (c *conn) Close() error { return c.socket.Close() }

// dial connects and authenticates before ctx ends. replyTimeout limits each command on
// the connection together with its reply.
func dial(ctx context.Context, l *login, replyTimeout time.Duration) (*conn, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", Server{l}.Addr())
	if err != nil {
		return nil, err
	}
	c, err := newConn(ctx, socket, l.tls(), replyTimeout)
	if err == nil {
		err = c.logIn(ctx, l)
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return c, nil
}

// newConn returns a connection that uses the socket. It performs a TLS handshake
// unless config is nil.
func newConn(ctx context.Context, socket net.Conn, config *tls.Config, replyTimeout time.Duration) (*conn, error) {
	tcp, ok := socket.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("want a connection that implements syscall.Conn, found a %T", socket)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: socket, socket: socket, raw: raw, replyTimeout: replyTimeout}
	if config != nil {
		encrypted := tls.Client(socket, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c.Conn = encrypted
	}
	c.replies = bufio.NewReaderSize(c.Conn, maxLine)
	return c, nil
}

// logIn sends AUTH if the login has a password, and SELECT if it has a database
// other than 0.
func (c *conn) logIn(ctx context.Context, l *login) error {
	if l.password != "" {
		args := []string{"AUTH", l.user, l.password}
		if l.user == "" {
			args = []string{"AUTH", l.password}
		}
		if err := c.doOK(ctx, args...); err != nil {
			return fmt.Errorf("logging in: %w", err)
		}
	}
	if l.database != 0 {
		if err := c.doOK(ctx, "SELECT", strconv.Itoa(l.database)); err != nil {
			return fmt.Errorf("selecting the database: %w", err)
		}
	}
	return nil
}

// doOK sends a command and returns an error unless the reply is the status OK.
func (c *conn) doOK(ctx context.Context, args ...string) error {
	switch answer, err := c.do(ctx, args...); {
	case err != nil:
		return err
	case !answer.IsOK():
		return fmt.Errorf("want the status OK, found %s", answer)
	default:
		return nil
	}
}

// do sends a command once and reads its reply. The deadline is the end of ctx or
// replyTimeout from now, whichever is earlier.
func (c *conn) do(ctx context.Context, args ...string) (Reply, error) {
	deadline := time.Now().Add(c.replyTimeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := c.SetDeadline(deadline); err != nil {
		return Reply{}, err
	}
	if _, err := c.Write(encode(args)); err != nil {
		return Reply{}, err
	}
	return readReply(c.replies)
}

// encode serializes a command in RESP, as an array of bulk strings.
func encode(args []string) []byte {
	text := make([]byte, 0, 256)
	text = append(strconv.AppendInt(append(text, '*'), int64(len(args)), 10), "\r\n"...)
	for _, arg := range args {
		text = append(strconv.AppendInt(append(text, '$'), int64(len(arg)), 10), "\r\n"...)
		text = append(append(text, arg...), "\r\n"...)
	}
	return text
}

// isQuiet reports whether the connection is open and has no unread bytes. Bytes
// that arrived before a command was sent cannot be the reply to that command.
func (c *conn) isQuiet() bool {
	return c.replies.Buffered() == 0 && c.isDrained() && hasNoUnreadBytes(c.raw)
}

// isDrained reports whether TLS holds no decrypted or buffered bytes. After
// its deadline, a read still returns such bytes but does not read the socket.
func (c *conn) isDrained() bool {
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}
