package replay

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

// conn is a connection to a Redis server that is logged in. It is used by one
// goroutine at a time.
type conn struct {
	net.Conn                 // in TLS where the login says so
	socket   net.Conn        // below TLS
	raw      syscall.RawConn // of the socket
	replies  *bufio.Reader
	answerIn time.Duration // how long a command and its reply may take
}

// Close closes the socket at once. TLS would first write an alert, which can take
// seconds.
func (c *conn) Close() error { return c.socket.Close() }

// dial connects and logs in, before the end of ctx. Each command on the connection
// and its reply may take no longer than answerIn.
func dial(ctx context.Context, l *login, answerIn time.Duration) (*conn, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", Server{l}.Addr())
	if err != nil {
		return nil, err
	}
	c, err := newConn(ctx, socket, l.tls(), answerIn)
	if err == nil {
		err = c.logIn(ctx, l)
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return c, nil
}

// newConn makes a connection of the socket, in TLS unless config is nil.
func newConn(ctx context.Context, socket net.Conn, config *tls.Config, answerIn time.Duration) (*conn, error) {
	tcp, ok := socket.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("want a socket of the system, found a %T", socket)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: socket, socket: socket, raw: raw, answerIn: answerIn}
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

// logIn authenticates and selects the database, where the login has either.
func (c *conn) logIn(ctx context.Context, l *login) error {
	if l.password != "" {
		words := []string{"AUTH", l.user, l.password}
		if l.user == "" {
			words = []string{"AUTH", l.password}
		}
		if err := c.do(ctx, words...); err != nil {
			return fmt.Errorf("logging in: %w", err)
		}
	}
	if l.database != 0 {
		if err := c.do(ctx, "SELECT", strconv.Itoa(l.database)); err != nil {
			return fmt.Errorf("selecting the database: %w", err)
		}
	}
	return nil
}

// do sends a command that has to be answered with OK.
func (c *conn) do(ctx context.Context, words ...string) error {
	switch answer, err := c.ask(ctx, words...); {
	case err != nil:
		return err
	case !answer.isOK():
		return fmt.Errorf("want the status OK, found %s", answer)
	default:
		return nil
	}
}

// ask sends a command once and reads its reply, before the end of ctx and within
// answerIn.
func (c *conn) ask(ctx context.Context, words ...string) (reply, error) {
	deadline := time.Now().Add(c.answerIn)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := c.SetDeadline(deadline); err != nil {
		return reply{}, err
	}
	if _, err := c.Write(encode(words)); err != nil {
		return reply{}, err
	}
	return readReply(c.replies)
}

// encode writes a command in RESP.
func encode(words []string) []byte {
	text := make([]byte, 0, 256)
	text = append(strconv.AppendInt(append(text, '*'), int64(len(words)), 10), "\r\n"...)
	for _, word := range words {
		text = append(strconv.AppendInt(append(text, '$'), int64(len(word)), 10), "\r\n"...)
		text = append(append(text, word...), "\r\n"...)
	}
	return text
}

// isQuiet reports whether the connection is open and has no unread bytes. Bytes
// that arrived before a command was sent are no answer to that command.
func (c *conn) isQuiet() bool {
	return c.replies.Buffered() == 0 && c.isDrained() && isSilent(c.raw)
}

// isDrained reports whether TLS holds no decrypted or buffered bytes. A read whose
// deadline has passed returns such bytes and does not touch the socket.
func (c *conn) isDrained() bool {
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}
