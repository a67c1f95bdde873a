package forward

import (
	"fmt"
	"net"
	"sync"
	"syscall"
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
