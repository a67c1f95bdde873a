//go:build unix

package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/certgate/certgate/internal/http1/client"
)

// canInspect is true where [socket.silent] can look at a socket without reading it.
const canInspect = true

// Read is for one goroutine at a time. Bytes leave the kernel under the lock, so a
// look from outside finds them there or finds that they were read.
func (s *socket) Read(p []byte) (int, error) {
	s.p = p
	if err := s.raw.Read(s.attempt); err != nil {
		return 0, err
	}
	switch {
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", s.err)}
	case s.n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return s.n, nil
	}
}

// attempt reads what is there; false waits for more.
func (s *socket) attempt(fd uintptr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.err = syscall.Read(int(fd), s.p)
	for errors.Is(s.err, syscall.EINTR) {
		s.n, s.err = syscall.Read(int(fd), s.p)
	}
	s.waiting = errors.Is(s.err, syscall.EAGAIN)
	if s.tls && s.n > 0 {
		s.records.add(s.p[:s.n])
	}
	return !s.waiting
}

// silent reports whether the connection is open, the reader waits for the first byte
// of whatever comes next, and nothing has come. In TLS that is the first byte of a
// record: of a part of a record the reader above sees nothing.
func (s *socket) silent() (silent bool) {
	err := s.raw.Control(func(fd uintptr) {
		s.mu.Lock()
		defer s.mu.Unlock()
		silent = s.waiting && s.records.complete() && client.Silent(fd)
	})
	return err == nil && silent
}
