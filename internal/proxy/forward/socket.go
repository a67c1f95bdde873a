package forward

import (
	"fmt"
	"net"
	"sync"
	"syscall"
)

// socket is a TCP or Unix connection to the upstream, below TLS if the upstream has TLS. It
// records whether all bytes that arrived have been read and processed: see
// [socket.quiescent].
type socket struct {
	net.Conn

	raw syscall.RawConn
	tls bool

	// The buffer and the result of the Read in progress.
	p   []byte
	n   int
	err error

	mu      sync.Mutex
	waiting bool    // the last attempt to read found no bytes
	records records // the TLS records in the bytes that were read
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

// recordHeader is the length of the header of a TLS record: its type, its version, and the
// length of the rest in two bytes (RFC 8446, section 5.1).
const recordHeader = 5

// records follows the boundaries of TLS records in a stream. The zero value is at the
// start of a record.
type records struct {
	header     [recordHeader]byte
	headerSize int // bytes received of the header
	rest       int // bytes of the record after its header that are still to come
}

// add processes the next bytes of the stream.
func (r *records) add(p []byte) {
	for len(p) > 0 {
		if r.headerSize < recordHeader {
			n := copy(r.header[r.headerSize:], p)
			r.headerSize, p = r.headerSize+n, p[n:]
			if r.headerSize < recordHeader {
				return
			}
			r.rest = int(r.header[3])<<8 | int(r.header[4])
		}
		n := min(r.rest, len(p))
		if r.rest, p = r.rest-n, p[n:]; r.rest == 0 {
			r.headerSize = 0
		}
	}
}

// complete reports whether the stream is at the end of a record.
func (r *records) complete() bool { return r.headerSize == 0 }
