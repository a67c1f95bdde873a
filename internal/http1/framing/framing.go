package framing

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxLine is how much of a line is remembered: enough for the two header names
// that matter with their values, and for a chunk size.
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

// framing follows one direction of an HTTP/1 connection byte by byte. It
// decides nothing that net/http decides better: it only has to know where each
// request ends, and it is stricter, so where the two could disagree it breaks
// the connection.
type framing struct {
	state state
	line  []byte // the present line so far, without its end
	long  bool   // the line was longer than maxLine
	left  int64  // bytes left of the body or chunk

	request []byte // the request line, its first maxLine bytes
	pem     string // the type of a PEM block whose first line ends a line of this header
	begun   bool   // this header's request line has been read

	headRead bool // the header of a request has been read

	lengths   int   // Content-Length fields in this header
	codings   int   // Transfer-Encoding fields in this header
	length    int64 // the value of Content-Length
	ambiguous bool  // this header's length can be read in two ways
	chunked   bool  // this header has a Transfer-Encoding
	broken    bool  // nothing behind this point may be read
}

var errFraming = errors.New("malformed chunked encoding")

// end is why nothing can be read behind a break.
func (f *framing) end() error {
	if f.ambiguous {
		return io.EOF
	}
	return errFraming
}

// advance consumes p up to the end of the present request and reports how many
// bytes that were. After a break nothing more is consumed.
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

// step consumes at least one byte. end: the request is over.
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

// skip passes body bytes.
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

// collect gathers one line. whole: its line feed was found.
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
		// net/http looks for CRLF CRLF before it reads a trailer. A trailer that
		// ends otherwise would make it look into the requests behind.
		f.broken = !crlf
		if len(text) == 0 && !f.long {
			f.state = inHead
			return true
		}
	}
	return false
}

// headLine keeps the request line and looks for the two fields that say how long
// the body is.
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
		f.length = int64(n) // ParseUint was told 63 bits
	case strings.EqualFold(name, "transfer-encoding"):
		f.codings++
		if f.long || !strings.EqualFold(strings.Trim(value, " \t"), "chunked") {
			f.ambiguous = true
		}
	}
}

// requestLine is the present request's, as far as it has come.
func (f *framing) requestLine() []byte {
	if !f.begun && f.state == inHead && len(f.line) > 0 {
		return f.line
	}
	return f.request
}

// endOfHead decides what follows the header.
func (f *framing) endOfHead() (end bool) {
	f.headRead = true
	if !f.begun { // an empty line in the place of a request line
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

// chunkSize reads "SIZE[;extension]" (RFC 9112, section 7.1). Control characters are
// malformed in extensions too.
func (f *framing) chunkSize(text string, crlf bool) {
	digits, extension, _ := strings.Cut(text, ";")
	n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 60)
	if err != nil || f.long || !crlf || strings.ContainsFunc(extension, isControl) {
		f.broken = true
		return
	}
	if n == 0 {
		f.state = inTrailer
		return
	}
	f.state, f.left = inChunkData, int64(n) // ParseUint was told 60 bits
}

// isControl reports a control character other than the horizontal tab.
func isControl(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }
