//go:build linux

package server_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// sockets returns a connected pair: the server's end and the client's.
func sockets(tb testing.TB) (served *observed, client *net.UnixConn) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			tb.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	_ = ends[1].SetDeadline(time.Now().Add(rawhttp.Timeout))
	return &observed{UnixConn: ends[0], waits: make(chan struct{}, 1), ended: make(chan struct{})}, ends[1]
}

// observed is a server's end of a connection. It reports when the server waits for more,
// so that a test can send the next part then, without polling.
type observed struct {
	*net.UnixConn
	waits chan struct{} // gets an element when a read finds nothing
	ended chan struct{} // closed when the server reads no more
	once  sync.Once
}

// Read reads like [net.UnixConn.Read], and reports a wait.
func (o *observed) Read(p []byte) (n int, err error) {
	raw, err := o.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		n, readErr = syscall.Read(int(fd), p)
		return !errors.Is(readErr, syscall.EAGAIN) && !errors.Is(readErr, syscall.EINTR)
	})
	switch {
	case err != nil:
		return 0, err
	case readErr != nil:
		return 0, readErr
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

func (o *observed) SyscallConn() (syscall.RawConn, error) {
	raw, err := o.UnixConn.SyscallConn()
	return observedRaw{raw, o}, err
}

func (o *observed) Close() error {
	o.end()
	return o.UnixConn.Close()
}

// end makes the client send the rest without waiting.
func (o *observed) end() { o.once.Do(func() { close(o.ended) }) }

type observedRaw struct {
	syscall.RawConn
	o *observed
}

// Read reports a wait when f finds nothing to read.
func (r observedRaw) Read(f func(fd uintptr) bool) error {
	return r.RawConn.Read(func(fd uintptr) bool {
		done := f(fd)
		if !done {
			select {
			case r.o.waits <- struct{}{}:
			default:
			}
		}
		return done
	})
}

// sendParts writes each part when the server has read the one before and waits for more,
// and then ends its side.
func sendParts(c *net.UnixConn, served *observed, parts [][]byte) {
	raw, err := c.SyscallConn()
	if err != nil {
		panic(err)
	}
	for i, p := range parts {
		if _, err := c.Write(p); err != nil {
			return
		}
		if i < len(parts)-1 {
			served.awaitRead(raw)
		}
	}
	_ = c.CloseWrite()
}

// unreadTime is how long a part may stay unread before the server seems not to want it: it
// has ended the connection's requests, but not the connection.
const unreadTime = 10 * time.Millisecond

// awaitRead waits until the server has read all that the client wrote, or stopped reading.
func (o *observed) awaitRead(client syscall.RawConn) {
	timer := time.NewTimer(unreadTime)
	defer timer.Stop()
	for unreadBytes(client) > 0 {
		select {
		case <-o.waits:
		case <-o.ended:
			return
		case <-timer.C:
			return
		}
	}
}

// unreadBytes returns how many bytes that were written the peer has not read.
func unreadBytes(raw syscall.RawConn) (n int32) {
	_ = raw.Control(func(fd uintptr) {
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	return n
}
