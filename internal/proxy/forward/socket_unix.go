//go:build unix

package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// canInspect reports that [socket.quiescent] can inspect a socket without reading from it.
const canInspect = true

// Read must not be called concurrently. Bytes leave the kernel while the lock is held, so
// another goroutine either finds them in the kernel or finds that they were read.
func (s *socket) Read(p []byte) (int, error) {
	s.p = p
	if err := s.raw.Read(s.tryRead); err != nil {
		return 0, err
	}
	switch {
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", s.err)}
	case s.n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return s.n, nil
	}
}

// tryRead reads the bytes that have arrived. It returns false when there are none, and the
// caller waits.
func (s *socket) tryRead(fd uintptr) bool {
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

// quiescent reports whether the connection is open, no byte has arrived, and the reader
// waits for the first byte of the next message. With TLS it waits for the first byte of a
// record, because the reader above TLS does not see a part of a record.
func (s *socket) quiescent() (quiescent bool) {
	err := s.raw.Control(func(fd uintptr) {
		s.mu.Lock()
		defer s.mu.Unlock()
		quiescent = s.waiting && s.records.complete() && nonblock.Quiescent(fd)
	})
	return err == nil && quiescent
}
