package framing

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// maxLine is how much of a line is kept, in bytes: enough for Content-Length or
// Transfer-Encoding with the value, and for a chunk size.
const maxLine = 128

type state int

const (
	inRequestLine state = iota
	inHead
	inBody
	inChunkSize
	inChunkData
	inChunkEnd
	inTrailer
)

// framing follows the requests on an HTTP/1 connection byte by byte, to know where each one
// ends. It leaves all other decisions to net/http. It is stricter than net/http: where the
// two could disagree, it ends the stream.
type framing struct {
	state state
	line  []byte // the current line so far, without its line feed
	long  bool   // the line was longer than maxLine
	left  int64  // bytes left of the body or chunk; in the header: Content-Length

	request []byte // the first maxLine bytes of the request line
	pem     string // see Refusal.PEM

	lengths   int  // Content-Length and Transfer-Encoding fields in this header
	chunked   bool // this header has a Transfer-Encoding
	ambiguous bool // the length of this request can be read in two ways
	broken    bool // nothing after this point may be read
}

var errFraming = errors.New("malformed chunked encoding")

// end returns the error of reads after a break.
func (f *framing) end() error {
	if f.ambiguous {
		return io.EOF
	}
	return errFraming
}

// advance consumes p up to the end of the present request and returns the number of
// consumed bytes. After a break it consumes nothing.
func (f *framing) advance(p []byte) (used int) {
	for used < len(p) && !f.broken {
		used += f.step(p[used:])
		if f.state == inRequestLine { // of the next request
			return used
		}
	}
	return used
}

// step consumes at least one byte: a part of a body or a chunk, up to its end, or of a line.
func (f *framing) step(p []byte) int {
	if f.state != inBody && f.state != inChunkData {
		n, whole := f.collect(p)
		if whole {
			f.endOfLine()
			f.line, f.long = f.line[:0], false
		}
		return n
	}
	n := min(int64(len(p)), f.left)
	f.left -= n
	switch {
	case f.left > 0:
	case f.state == inChunkData:
		f.state = inChunkEnd
	default:
		f.state = inRequestLine
	}
	return int(n)
}

// collect adds to the current line. whole is true when its line feed was found.
func (f *framing) collect(p []byte) (n int, whole bool) {
	part := p
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		part, n, whole = p[:i], i+1, true
	} else {
		n = len(p)
	}
	room := maxLine - len(f.line)
	if len(part) > room {
		f.long = true
		part = part[:room]
	}
	f.line = append(f.line, part...)
	return n, whole
}

// endOfLine processes a complete line.
func (f *framing) endOfLine() {
	text, crlf := bytes.CutSuffix(f.line, []byte("\r"))
	isEmpty := len(text) == 0 && !f.long
	switch f.state {
	case inRequestLine: // an empty line is a whole request here
		f.request, f.pem, f.lengths, f.chunked = append(f.request[:0], text...), "", 0, false
		if !isEmpty {
			f.state = inHead
		}
	case inHead:
		if isEmpty {
			f.endOfHead()
		} else {
			f.field(text)
		}
	case inChunkSize:
		size, ok := syntax.ParseChunkSize(string(text))
		f.broken = !ok || f.long || !crlf
		if f.state, f.left = inChunkData, size; size == 0 {
			f.state = inTrailer
		}
	case inChunkEnd:
		f.broken = !isEmpty || !crlf
		f.state = inChunkSize
	case inTrailer:
		// net/http searches for CRLF CRLF before it reads a trailer. With other line ends
		// it would search in the requests that follow.
		f.broken = !crlf
		if isEmpty {
			f.state = inRequestLine
		}
	}
}

// field evaluates the two fields that frame the body.
func (f *framing) field(line []byte) {
	if inner, ok := bytes.CutSuffix(line, []byte("-----")); ok && !f.long {
		if _, label, ok := bytes.Cut(inner, []byte("-----BEGIN ")); ok {
			f.pem = string(label)
		}
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	switch {
	case !ok:
	case bytes.EqualFold(name, []byte("content-length")):
		f.lengths++
		n, err := strconv.ParseUint(string(value), 10, 63)
		f.ambiguous = f.ambiguous || err != nil || f.long
		f.left = int64(n) // ParseUint has checked that it fits into 63 bits
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		f.lengths++
		f.chunked = true
		f.ambiguous = f.ambiguous || f.long || !bytes.EqualFold(value, []byte("chunked"))
	}
}

// requestLine returns the bytes of the present request line that have been read.
func (f *framing) requestLine() []byte {
	if f.state == inRequestLine && len(f.line) > 0 {
		return f.line
	}
	return f.request
}

// headRead reports whether the last complete line ended the header of a request, or followed it.
func (f *framing) headRead() bool { return f.state != inHead && len(f.request) > 0 }

// endOfHead evaluates a complete header.
func (f *framing) endOfHead() {
	f.ambiguous = f.ambiguous || f.lengths > 1
	f.broken = f.ambiguous
	switch {
	case f.chunked:
		f.state = inChunkSize
	case f.left > 0:
		f.state = inBody
	default:
		f.state = inRequestLine
	}
}
