package framing

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// maxLine is how much of a line is kept, in bytes: enough for Content-Length or
// Transfer-Encoding with the value, and for a chunk size.
const maxLine = 128

type state int

const (
	inHead state = iota
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
	left  int64  // bytes left of the body or chunk

	request []byte // the first maxLine bytes of the request line
	pem     string // see Refusal.PEM
	begun   bool   // this header's request line has been read

	headRead bool // the header of a request has been read

	lengths   int   // Content-Length fields in this header
	codings   int   // Transfer-Encoding fields in this header
	length    int64 // the value of Content-Length
	ambiguous bool  // the length of this request can be read in two ways
	chunked   bool  // this header has a Transfer-Encoding
	broken    bool  // nothing after this point may be read
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
func (f *framing) advance(p []byte) int {
	used := 0
	for used < len(p) && !f.broken {
		n, end := f.step(p[used:])
		used += n
		if end {
			return used
		}
	}
	return used
}

// step consumes at least one byte. end is true at the end of the request.
func (f *framing) step(p []byte) (n int, end bool) {
	switch f.state {
	case inBody, inChunkData:
		return f.skip(p)
	default:
		n, whole := f.collect(p)
		if !whole {
			return n, false
		}
		end = f.endOfLine()
		f.line, f.long = f.line[:0], false
		return n, end
	}
}

// skip consumes bytes of a body or chunk.
func (f *framing) skip(p []byte) (int, bool) {
	n := int(min(int64(len(p)), f.left))
	f.left -= int64(n)
	if f.left > 0 {
		return n, false
	}
	if f.state == inChunkData {
		f.state = inChunkEnd
		return n, false
	}
	f.state = inHead
	return n, true
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
func (f *framing) endOfLine() (end bool) {
	text, crlf := bytes.CutSuffix(f.line, []byte("\r"))
	switch f.state {
	case inHead:
		if len(text) > 0 || f.long {
			f.headLine(text)
			return false
		}
		return f.endOfHead()
	case inChunkSize:
		f.chunkSize(string(text), crlf)
	case inChunkEnd:
		f.broken = len(text) > 0 || f.long || !crlf
		f.state = inChunkSize
	case inTrailer:
		// net/http searches for CRLF CRLF before it reads a trailer. With other line ends
		// it would search in the requests that follow.
		f.broken = !crlf
		if len(text) == 0 && !f.long {
			f.state = inHead
			return true
		}
	}
	return false
}

// headLine keeps the request line, and evaluates the two fields that frame the body.
func (f *framing) headLine(line []byte) {
	if !f.begun {
		f.begun, f.request, f.pem = true, append(f.request[:0], line...), ""
		return
	}
	if inner, ok := bytes.CutSuffix(line, []byte("-----")); ok && !f.long {
		if _, label, ok := bytes.Cut(inner, []byte("-----BEGIN ")); ok {
			f.pem = string(label)
		}
	}
	text := string(line)
	name, value, ok := strings.Cut(text, ":")
	if !ok {
		return
	}
	switch {
	case strings.EqualFold(name, "content-length"):
		f.lengths++
		n, err := strconv.ParseUint(strings.Trim(value, " \t"), 10, 63)
		if err != nil || f.long {
			f.ambiguous = true
		}
		f.length = int64(n) // ParseUint has checked that it fits into 63 bits
	case strings.EqualFold(name, "transfer-encoding"):
		f.codings++
		if f.long || !strings.EqualFold(strings.Trim(value, " \t"), "chunked") {
			f.ambiguous = true
		}
	}
}

// requestLine returns the bytes of the present request line that have been read.
func (f *framing) requestLine() []byte {
	if !f.begun && f.state == inHead && len(f.line) > 0 {
		return f.line
	}
	return f.request
}

// endOfHead evaluates a complete header. end is true when the request has no body.
func (f *framing) endOfHead() (end bool) {
	f.headRead = true
	if !f.begun { // an empty line instead of a request line
		f.request, f.pem = f.request[:0], ""
	}
	f.ambiguous = f.ambiguous || f.lengths+f.codings > 1
	f.chunked = f.codings > 0
	f.begun = false
	length, ambiguous := f.length, f.ambiguous
	f.lengths, f.codings, f.length = 0, 0, 0
	switch {
	case ambiguous:
		f.broken = true
		return true
	case f.chunked:
		f.state = inChunkSize
		return false
	case length > 0:
		f.state, f.left = inBody, length
		return false
	default:
		return true
	}
}

// chunkSize parses "SIZE[;extension]" (RFC 9112, section 7.1). Control characters are
// malformed in extensions, too.
func (f *framing) chunkSize(text string, crlf bool) {
	digits, extension, _ := strings.Cut(text, ";")
	n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 60)
	if err != nil || f.long || !crlf || !syntax.IsFieldValue(extension) {
		f.broken = true
		return
	}
	if n == 0 {
		f.state = inTrailer
		return
	}
	f.state, f.left = inChunkData, int64(n) // ParseUint has checked that it fits into 60 bits
}
