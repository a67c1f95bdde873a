package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// body reads an answer's body. At its regular end the connection goes back to
// the pool; closed before that, it is closed.
type body struct {
	cn     *conn
	keep   bool
	stop   func() bool                 // ends the watch over the caller's context
	next   func(p []byte) (int, error) // io.EOF at the regular end only
	err    error
	timely bool // the deadline of the header has been taken off
}

// Read is for one goroutine, as http.Response.Body is.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	// What has come with the header needs no system call.
	if !b.timely && b.cn.start == b.cn.end {
		b.timely = true
		_ = b.cn.net.SetDeadline(time.Time{})
	}
	n, err := b.next(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close ends the connection where the body has not been read to its end.
func (b *body) Close() error {
	if b.err == nil {
		b.end(http.ErrBodyReadAfterClose)
	}
	return nil
}

func (b *body) end(err error) {
	b.err = err
	unhurt := b.stop()
	b.cn.finish(b.keep && unhurt && err == io.EOF) //nolint:errorlint // ours, never wrapped
}

// read gives what is in the buffer, or reads from the connection.
func (cn *conn) read(p []byte) (int, error) {
	if cn.start < cn.end {
		n := copy(p, cn.buf[cn.start:cn.end])
		cn.start += n
		return n, nil
	}
	return cn.net.Read(p)
}

// counted is a body of n bytes. The last of them come together with the end.
func (cn *conn) counted(n int64) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		if int64(len(p)) > n {
			p = p[:n]
		}
		m, err := cn.read(p)
		n -= int64(m)
		switch {
		case n == 0:
			return m, io.EOF
		case err != nil:
			return m, unexpected(err)
		default:
			return m, nil
		}
	}
}

// untilClose is a body that ends with the connection.
func (cn *conn) untilClose(p []byte) (int, error) { return cn.read(p) }

// chunked is a body in chunks (RFC 9112, section 7.1). Trailers are read and
// dropped.
func (cn *conn) chunked() func([]byte) (int, error) {
	var left int64
	return func(p []byte) (int, error) {
		if left == 0 {
			n, err := cn.chunkSize()
			if err != nil {
				return 0, unexpected(err)
			}
			if n == 0 {
				return 0, cn.skipTrailers()
			}
			left = n
		}
		if int64(len(p)) > left {
			p = p[:left]
		}
		n, err := cn.read(p)
		left -= int64(n)
		if err != nil {
			return n, unexpected(err)
		}
		if left == 0 {
			err = cn.chunkEnd()
		}
		return n, err
	}
}

func (cn *conn) chunkSize() (int64, error) {
	line, err := cn.line()
	if err != nil {
		return 0, err
	}
	digits, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 60)
	if err != nil || !printable(line) {
		return 0, fmt.Errorf("want the size of a chunk, found %.40q", line)
	}
	return int64(n), nil //nolint:gosec // ParseUint was told 60 bits
}

func (cn *conn) chunkEnd() error {
	line, err := cn.line()
	if err != nil {
		return unexpected(err)
	}
	if line != "" {
		return errors.New("want the end of a chunk, found more")
	}
	return nil
}

// skipTrailers reads to the empty line and then reports the regular end.
func (cn *conn) skipTrailers() error {
	for total := 0; total <= cn.maxHeader; {
		line, err := cn.line()
		if err != nil {
			return unexpected(err)
		}
		if line == "" {
			return io.EOF
		}
		total += len(line)
	}
	return fmt.Errorf("want trailers of at most %d bytes, found more", cn.maxHeader)
}

// line reads one line that ends in CRLF, without its end.
func (cn *conn) line() (string, error) {
	for {
		have := cn.buf[cn.start:cn.end]
		if i := bytes.IndexByte(have, '\n'); i >= 0 {
			if i == 0 || have[i-1] != '\r' {
				return "", errors.New("want CRLF at the end of a line, found a bare line feed")
			}
			cn.start += i + 1
			return string(have[:i-1]), nil
		}
		if err := cn.fill(cn.maxHeader); err != nil {
			return "", err
		}
	}
}
