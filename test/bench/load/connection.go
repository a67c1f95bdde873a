//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout limits the wait for a listener whose queue is full.
const dialTimeout = 2 * time.Second

// connection is a kept-alive HTTP connection with at most one request in flight. Its socket
// is in blocking mode until [load.add] adds the connection to a load.
type connection struct {
	fd       int
	due      time.Duration // when the request in flight was due; its latency counts from then
	busy     bool
	unsent   []byte // of the request in flight; part of its body
	received []byte
	head     answer // the response whose body is incomplete, if missing > 0
	missing  int    // bytes of that body
	room     [8 << 10]byte
}

// discarded is the buffer for received bodies. With MSG_TRUNC the kernel discards the bytes
// and does not write to the buffer, so the buffer occupies no memory.
var discarded [1 << 20]byte //nolint:gochecknoglobals // written by nothing

// dial opens a new socket for c and connects it.
func (c *connection) dial(from, to netip.AddrPort) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.busy, c.unsent, c.received, c.missing = fd, false, nil, c.room[:0], 0
	if err := connect(fd, from, to); err != nil {
		syscall.Close(fd) //nolint:errcheck // the first error is returned
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

func connect(fd int, from, to netip.AddrPort) error {
	timeout := syscall.NsecToTimeval(int64(dialTimeout))
	// A connection that is closed with a reset does not stay in TIME_WAIT. Thousands of
	// connections in that state would use all ports.
	reset := syscall.Linger{Onoff: 1}
	return errors.Join(
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &reset),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &timeout),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: from.Addr().As4()}),
		connectUninterrupted(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	)
}

// connectUninterrupted continues a connect that a signal has interrupted, such as a signal by
// which Go's scheduler preempts a goroutine. The kernel does not restart a connect on a socket
// with SO_SNDTIMEO; a second call waits for the first one's handshake.
func connectUninterrupted(fd int, to syscall.Sockaddr) error {
	for {
		if err := syscall.Connect(fd, to); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// send writes a request whose last bytes, as many as body, stay valid after the call. The
// part of the body that does not fit into the socket's buffer is kept in c.unsent for resume.
func (c *connection) send(request []byte, body int, due time.Duration) error {
	n, err := syscall.Write(c.fd, request)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if len(request)-n > body {
		return io.ErrShortWrite // the server does not read
	}
	c.busy, c.due, c.unsent = true, due, request[n:]
	return nil
}

// resume writes more of the body of the request in flight.
func (c *connection) resume() error {
	n, err := syscall.Write(c.fd, c.unsent)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("write: %w", err)
	}
	c.unsent = c.unsent[n:]
	return nil
}

// receive reads once. It returns the response if all of it has arrived, otherwise errPartial.
func (c *connection) receive() (answer, error) {
	if c.missing > 0 {
		return c.discard()
	}
	n, err := syscall.Read(c.fd, c.room[len(c.received):])
	if err := readError(n, err); err != nil {
		return answer{}, err
	}
	c.received = c.room[:len(c.received)+n]
	a, err := parseAnswer(c.received)
	if err != nil {
		return answer{}, err
	}
	if !c.busy || a.length < len(c.received) {
		return answer{}, errors.New("want one response to one request, found more")
	}
	c.head, c.missing, c.received = a, a.length-len(c.received), c.room[:0]
	return c.finish()
}

// discard reads once from the rest of a response's body.
func (c *connection) discard() (answer, error) {
	n, _, err := syscall.Recvfrom(c.fd, discarded[:min(c.missing, len(discarded))], syscall.MSG_TRUNC)
	if err := readError(n, err); err != nil {
		return answer{}, err
	}
	c.missing -= n
	return c.finish()
}

// finish returns the response if all of it has arrived, otherwise errPartial.
func (c *connection) finish() (answer, error) {
	if c.missing > 0 {
		return answer{}, errPartial
	}
	c.busy = false
	return c.head, nil
}

// readError converts the result of a read of n bytes.
func readError(n int, err error) error {
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return errPartial
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return io.EOF
	}
	return nil
}

// exchange sends a request and waits for its response, on a socket in blocking mode.
func (c *connection) exchange(request []byte) error {
	if err := c.send(request, 0, 0); err != nil {
		return err
	}
	for {
		a, err := c.receive()
		switch {
		case errors.Is(err, errPartial):
		case err != nil:
			return err
		case a.status/100 != 2:
			return fmt.Errorf("want the status 2xx, found %d", a.status)
		default:
			return nil
		}
	}
}

func (c *connection) close() { syscall.Close(c.fd) } //nolint:errcheck // the connection is not used any more
