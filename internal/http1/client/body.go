package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// body reads the body of a response. At the end of the body the connection returns to the
// pool. If the body is closed earlier, the connection is closed.
type body struct {
	cn        *conn
	keepAlive bool
	err       error // why reading ended; io.EOF after the last byte
	taken     bool  // Buffered has returned the rest

	chunked   bool
	remaining int64 // bytes of the body or the chunk; -1: before the first chunk, or until the connection ends
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

// next reads a part of the body. It returns io.EOF only at the end of the body, for a body of
// known length with its last bytes.
func (b *body) next(p []byte) (int, error) {
	if b.chunked && b.remaining <= 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if b.remaining < 0 {
		return b.cn.read(p)
	}
	n, err := b.cn.read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	if b.remaining == 0 && !b.chunked {
		return n, io.EOF
	}
	return n, unexpectedEOF(err) // the end of a chunk is read by the next call, which may have to wait
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

// nextChunk reads the end of the previous chunk, if there is one, and the size of the next (RFC
// 9112, section 7.1). After the last chunk it parses and drops the trailers, and returns io.EOF.
func (b *body) nextChunk() error {
	if b.remaining == 0 {
		if line, err := b.cn.line(); err != nil {
			return err
		} else if line != "" {
			return errors.New("want the end of a chunk, found more")
		}
	}
	line, err := b.cn.line()
	if err != nil {
		return err
	}
	size, ok := syntax.ParseChunkSize(line)
	switch b.remaining = size; {
	case !ok:
		return fmt.Errorf("want the size of a chunk, found %.40q", line)
	case size == 0:
		return b.cn.skipTrailers()
	default:
		return nil
	}
}

// skipTrailers reads the trailers up to the empty line, and returns io.EOF then.
func (cn *conn) skipTrailers() error {
	for total := 0; total <= cn.client.options.MaxHeaderBytes; {
		line, err := cn.line()
		if err != nil {
			return err
		}
		if line == "" {
			return io.EOF
		}
		if _, _, _, ok := syntax.CutField(line + "\r\n"); !ok {
			return malformedField(line)
		}
		total += len(line)
	}
	return fmt.Errorf("want trailers of at most %d bytes, found more", cn.client.options.MaxHeaderBytes)
}
