package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/certgate/certgate/internal/http1/client"
)

// socket is a TCP connection to the upstream, below TLS where there is any. It knows
// whether everything that came has been read and used: see [socket.silent].
type socket struct {
	net.Conn

	raw syscall.RawConn
	tls bool

	p   []byte // what Read reads into
	n   int
	err error

	mu      sync.Mutex
	waiting bool    // the last attempt to read found nothing
	records records // where the bytes that were read end
}

func newSocket(nc net.Conn, tls bool) (*socket, error) {
	inner, ok := nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("want a socket, found %T", nc)
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &socket{Conn: nc, raw: raw, tls: tls}, nil
}

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

// recordHeader is the length of a TLS record's header: type, version and the length of
// the rest in two bytes (RFC 8446, section 5.1).
const recordHeader = 5

// records follows the boundaries of TLS records in a stream.
type records struct {
	header [recordHeader]byte
	have   int // bytes of header
	rest   int // bytes of the record behind its header that have not come
}

func (r *records) add(p []byte) {
	for len(p) > 0 {
		if r.have < recordHeader {
			n := copy(r.header[r.have:], p)
			r.have, p = r.have+n, p[n:]
			if r.have < recordHeader {
				return
			}
			r.rest = int(r.header[3])<<8 | int(r.header[4])
		}
		n := min(r.rest, len(p))
		if r.rest, p = r.rest-n, p[n:]; r.rest == 0 {
			r.have = 0
		}
	}
}

func (r *records) complete() bool { return r.have == 0 }
