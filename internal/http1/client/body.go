package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// body reads an answer's body. At its regular end the connection goes back to
// the pool; closed before that, it is closed.
type body struct {
	cn   *conn
	keep bool
	err  error
	took bool // all of it was given away

	chunked bool
	inside  bool  // a chunk whose end has not been read
	left    int64 // of the body or the chunk; -1: until the connection ends
}

// Read is for one goroutine, as http.Response.Body is.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.next(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// next reads a part; io.EOF at the regular end only.
func (b *body) next(p []byte) (int, error) {
	switch {
	case b.chunked:
		return b.nextOfChunk(p)
	case b.left < 0:
		return b.cn.read(p)
	default:
		return b.counted(p)
	}
}

// take gives what is left of the body, if that is in the buffer already.
func (b *body) take() ([]byte, bool) {
	cn := b.cn
	switch {
	case b.err != nil:
		return nil, b.err == io.EOF //nolint:errorlint // ours, never wrapped
	case b.chunked || b.left < 0 || int64(cn.end-cn.start) < b.left:
		return nil, false
	}
	p := cn.buf[cn.start:][:b.left]
	cn.start += len(p)
	b.left, b.took = 0, true
	return p, true
}

// Close ends the connection where the body has not been read to its end.
func (b *body) Close() error {
	if b.err == nil && b.took {
		b.end(io.EOF)
	}
	if b.err == nil {
		b.end(http.ErrBodyReadAfterClose)
	}
	return nil
}

func (b *body) end(err error) {
	b.err = err
	unhurt := b.cn.dismiss()
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

// counted reads of a body of known length. The last bytes come together with the
// end.
func (b *body) counted(p []byte) (int, error) {
	n, err := b.cn.read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err != nil:
		return n, unexpected(err)
	default:
		return n, nil
	}
}

// nextOfChunk reads of a body in chunks (RFC 9112, section 7.1). Trailers are
// read and dropped, but have to be readable.
func (b *body) nextOfChunk(p []byte) (int, error) {
	if b.left <= 0 {
		n, err := b.cn.nextChunk(b.inside)
		if err != nil {
			return 0, unexpected(err)
		}
		if n == 0 {
			return 0, b.cn.skipTrailers()
		}
		b.left, b.inside = n, true
	}
	n, err := b.cn.read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil {
		return n, unexpected(err)
	}
	return n, nil // the chunk's end is waited for when nothing else is left to give
}

// nextChunk reads the end of the chunk before, if there is one, and the size of
// the next.
func (cn *conn) nextChunk(inside bool) (int64, error) {
	if inside {
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
	if err != nil || len(digits) > maxDigits || !printable(line) {
		return 0, fmt.Errorf("want the size of a chunk, found %.40q", line)
	}
	return int64(n), nil // ParseUint was told 60 bits
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

// skipTrailers reads to the empty line and then reports the regular end.
func (cn *conn) skipTrailers() error {
	for total := 0; total <= cn.options.MaxHeaderBytes; {
		line, err := cn.line()
		if err != nil {
			return unexpected(err)
		}
		if line == "" {
			return io.EOF
		}
		if _, _, err := parseField(line); err != nil {
			return err
		}
		total += len(line)
	}
	return fmt.Errorf("want trailers of at most %d bytes, found more", cn.options.MaxHeaderBytes)
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
		if err := cn.fill(cn.options.MaxHeaderBytes); err != nil {
			return "", err
		}
	}
}
