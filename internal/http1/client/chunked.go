package client

import (
	"io"
	"strconv"
)

// unknownLength is more than the length of every body.
const unknownLength = 1 << 62

// chunkEncoder encodes a body in chunks (RFC 9112, section 7.1). The last chunk is read together
// with [io.EOF]. Any other error, also one that wraps io.EOF, is a failure, and the encoded body
// has no end.
type chunkEncoder struct{ body io.Reader }

// Read reads one chunk. p must have space for the longest line of a chunk.
func (e chunkEncoder) Read(p []byte) (int, error) { return encodeChunk(p, e.body.Read) }

// ReadArrived reads one chunk of bytes that have arrived, and nothing if there are none or if the
// body cannot be read without waiting.
func (e chunkEncoder) ReadArrived(p []byte) (int, error) {
	body, ok := e.body.(arrivedReader)
	if !ok {
		return 0, nil
	}
	return encodeChunk(p, body.ReadArrived)
}

// encodeChunk reads content and encodes it. It reads behind the space for the size of a chunk
// that fills p, so that large chunks need not be moved.
func encodeChunk(p []byte, read func([]byte) (int, error)) (int, error) {
	const lineEnd, lastChunk = "\r\n", "0\r\n\r\n"
	var size [20]byte
	space := len(strconv.AppendInt(size[:0], int64(len(p)), 16)) + len(lineEnd)
	n, err := read(p[space : len(p)-len(lineEnd+lastChunk)])
	end := 0
	if n > 0 {
		end = copy(p, append(strconv.AppendInt(size[:0], int64(n), 16), lineEnd...))
		if end < space {
			copy(p[end:], p[space:space+n])
		}
		end += n + copy(p[end+n:], lineEnd)
	}
	if isEnd(err) {
		end += copy(p[end:], lastChunk)
	}
	return end, err
}

// isEnd reports whether the body ends where a Read returned err.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // a Reader does not wrap it at the end
