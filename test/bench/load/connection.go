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

// dialTimeout bounds a connect to a listener with a full queue.
const dialTimeout = 2 * time.Second

// A connection is a kept-alive HTTP connection with at most one request in
// flight. Its socket blocks until it joins a load.
type connection struct {
	fd       int
	due      time.Duration // what the request in flight counts from
	busy     bool
	received []byte
	room     [8 << 10]byte
}

// dial connects c, anew if it was connected before.
func (c *connection) dial(from, to netip.AddrPort) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.busy, c.received = fd, false, c.room[:0]
	if err := connect(fd, from, to); err != nil {
		syscall.Close(fd) //nolint:errcheck // the first fault counts
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

func connect(fd int, from, to netip.AddrPort) error {
	timeout := syscall.NsecToTimeval(int64(dialTimeout))
	return errors.Join(
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &timeout),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: from.Addr().As4()}),
		syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	)
}

// send writes a request in one piece. It is far smaller than the socket's
// buffer, so a piece that does not fit means a server that does not read.
func (c *connection) send(request []byte, due time.Duration) error {
	n, err := syscall.Write(c.fd, request)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if n < len(request) {
		return io.ErrShortWrite
	}
	c.busy, c.due = true, due
	return nil
}

// receive reads once and returns the answer if it is whole, else errPartial.
func (c *connection) receive() (answer, error) {
	n, err := syscall.Read(c.fd, c.room[len(c.received):])
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return answer{}, errPartial
	case err != nil:
		return answer{}, fmt.Errorf("read: %w", err)
	case n == 0:
		return answer{}, io.EOF
	}
	c.received = c.room[:len(c.received)+n]
	a, err := parseAnswer(c.received)
	if err != nil {
		return answer{}, err
	}
	if !c.busy || a.length < len(c.received) {
		return answer{}, errors.New("want one answer to one request, found more")
	}
	c.busy, c.received = false, c.room[:0]
	return a, nil
}

// exchange sends a request and waits for its answer, on a socket that blocks.
func (c *connection) exchange(request []byte) error {
	if err := c.send(request, 0); err != nil {
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

func (c *connection) close() { syscall.Close(c.fd) } //nolint:errcheck // nothing is left to do
