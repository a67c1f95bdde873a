package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// body reads the body of a response. At the end of the body the connection returns to the
// pool. If the body is closed earlier, the connection is closed.
type body struct {
	cn        *conn
	keepAlive bool
	err       error // why reading ended; io.EOF after the last byte
	taken     bool  // takeBuffered has returned the rest

	chunked   bool
	inChunk   bool  // the CRLF at the end of the chunk has not been read
	remaining int64 // bytes of the body or the chunk; -1: until the connection ends
}

// Read must not be called concurrently.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.next(p)
	if err != nil {
		b.finish(err)
	}
	return n, err
}

// next reads a part of the body. It returns io.EOF only at the end of the body.
func (b *body) next(p []byte) (int, error) {
	switch {
	case b.chunked:
		return b.readChunk(p)
	case b.remaining < 0:
		return b.cn.read(p)
	default:
		return b.readLength(p)
	}
}

// takeBuffered returns the part of the body that is in the buffer already, and whether it is
// the rest.
func (b *body) takeBuffered() (p []byte, whole bool) {
	cn := b.cn
	switch {
	case b.err != nil:
		return nil, b.err == io.EOF //nolint:errorlint // set by this package, never wrapped
	case b.chunked || b.remaining < 0:
		return nil, false
	}
	p = cn.buf[cn.start:][:min(int64(cn.end-cn.start), b.remaining)]
	cn.start += len(p)
	b.remaining -= int64(len(p))
	b.taken = b.remaining == 0
	return p, b.taken
}

// Close closes the connection if the body has not been read to its end.
func (b *body) Close() error {
	if b.err == nil && b.taken {
		b.finish(io.EOF)
	}
	if b.err == nil {
		b.finish(http.ErrBodyReadAfterClose)
	}
	return nil
}

// finish ends the reading with err and releases the connection.
func (b *body) finish(err error) {
	b.err = err
	inTime := b.cn.stopWatch()
	b.cn.finish(b.keepAlive && inTime && err == io.EOF) //nolint:errorlint // set by this package, never wrapped
}

// readLength reads a body of known length. The last bytes are returned with io.EOF.
func (b *body) readLength(p []byte) (int, error) {
	n, err := b.cn.read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	switch {
	case b.remaining == 0:
		return n, io.EOF
	case err != nil:
		return n, unexpectedEOF(err)
	default:
		return n, nil
	}
}

// readChunk reads a chunked body (RFC 9112, section 7.1). Trailers are parsed and dropped.
func (b *body) readChunk(p []byte) (int, error) {
	if b.remaining <= 0 {
		n, err := b.cn.nextChunk(b.inChunk)
		if err != nil {
			return 0, unexpectedEOF(err)
		}
		if n == 0 {
			return 0, b.cn.skipTrailers()
		}
		b.remaining, b.inChunk = n, true
	}
	n, err := b.cn.read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	if err != nil {
		return n, unexpectedEOF(err)
	}
	return n, nil // the end of the chunk is read by the next call, which may have to wait
}

// nextChunk reads the end of the previous chunk, if there is one, and returns the size of
// the next.
func (cn *conn) nextChunk(inChunk bool) (int64, error) {
	if inChunk {
		if err := cn.chunkEnd(); err != nil {
			return 0, err
		}
	}
	return cn.chunkSize()
}

func (cn *conn) chunkSize() (int64, error) {
	line, err := cn.line()
	if err != nil {
		return 0, err
	}
	const maxDigits = 15 // 60 bits
	digits, _, _ := strings.Cut(strings.TrimRight(line, " \t"), ";")
	n, err := strconv.ParseUint(digits, 16, 60)
	if err != nil || len(digits) > maxDigits || !syntax.IsFieldValue(line) {
		return 0, fmt.Errorf("want the size of a chunk, found %.40q", line)
	}
	return int64(n), nil // at most 60 bits
}

func (cn *conn) chunkEnd() error {
	line, err := cn.line()
	if err != nil {
		return err
	}
	if line != "" {
		return errors.New("want the end of a chunk, found more")
	}
	return nil
}

// skipTrailers reads the trailers up to the empty line, and returns io.EOF then.
func (cn *conn) skipTrailers() error {
	for total := 0; total <= cn.client.options.MaxHeaderBytes; {
		line, err := cn.line()
		if err != nil {
			return unexpectedEOF(err)
		}
		if line == "" {
			return io.EOF
		}
		if _, _, err := parseField(line); err != nil {
			return err
		}
		total += len(line)
	}
	return fmt.Errorf("want trailers of at most %d bytes, found more", cn.client.options.MaxHeaderBytes)
}
