package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/syntax"
)

// Response is a response of the upstream. Its fields are valid until the [Request] is used
// again.
type Response struct {
	Status int
	Fields []Field // in the order received, including those that concern the connection
	Length int64   // of the body in bytes, as declared; -1: unknown
	Body   io.ReadCloser
}

// Field is one field line of a response. The name is in canonical form.
type Field struct{ Name, Value string }

// Buffered returns the bytes of the body that have been received, without waiting, as Read
// would return them. whole reports whether they are all of the body. The bytes are valid until
// Body is read or closed. Of a chunked body, and of responses that are not from a [Client], it
// returns none.
func (res *Response) Buffered() (content []byte, whole bool) {
	b, ok := res.Body.(*body)
	switch {
	case !ok:
		return nil, false
	case b.err != nil:
		return nil, b.err == io.EOF //nolint:errorlint // set by this package, never wrapped
	case b.chunked || b.remaining < 0:
		return nil, false
	}
	cn := b.cn
	content = cn.buf[cn.start:][:min(int64(cn.end-cn.start), b.remaining)]
	cn.start += len(content)
	b.remaining -= int64(len(content))
	b.taken = b.remaining == 0
	return content, b.taken
}

// responseHead is the parsed header of a response.
type responseHead struct {
	status    int
	fields    []Field
	length    int64 // -1: until the connection ends
	chunked   bool
	keepAlive bool // the connection may carry another request
	http10    bool
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errLineFeed = errors.New("want CRLF at the end of a line, found a bare line feed")

// parseHead parses a header that ends in its empty line and whose lines end in CRLF. It is strict
// (RFC 9112, sections 4 to 6): names are tokens, no line is folded, and the length is unambiguous.
// It uses the memory of fields.
func parseHead(text []byte, fields []Field) (responseHead, error) {
	// All names and values are parts of one string.
	line, rest, _ := strings.Cut(string(text[:len(text)-len("\r\n")]), "\n")
	if fields == nil {
		const typical = 16 // with those that the caller appends
		fields = make([]Field, 0, typical)
	}
	head := responseHead{length: -1, fields: fields[:0]}
	var err error
	if head.status, head.http10, err = parseStatusLine(line[:len(line)-len("\r")]); err != nil {
		return head, err
	}
	head.keepAlive = !head.http10
	for rest != "" {
		name, value, after, ok := syntax.CutField(rest)
		if !ok {
			return head, malformedField(rest)
		}
		head.fields = append(head.fields, Field{name, value})
		rest = after
	}
	return head, head.setFraming()
}

func parseStatusLine(line string) (status int, http10 bool, err error) {
	rest, http11 := strings.CutPrefix(line, "HTTP/1.1 ")
	if !http11 {
		rest, http10 = strings.CutPrefix(line, "HTTP/1.0 ")
	}
	const code = len("200")
	isComplete := (http11 || http10) && len(rest) >= code
	if isComplete {
		status, err = strconv.Atoi(rest[:code])
	}
	if !isComplete || err != nil || status < 100 || len(rest) > code && rest[code] != ' ' || !syntax.IsFieldValue(rest[code:]) {
		return 0, false, fmt.Errorf("want a status line of HTTP/1.1, found %.40q", line)
	}
	return status, http10, nil
}

func malformedField(line string) error {
	return fmt.Errorf("want NAME: VALUE without control characters in a line of the header, found %.40q", line)
}

// setFraming determines where the body ends (RFC 9112, section 6.3). It refuses a response
// whose length is ambiguous.
func (head *responseHead) setFraming() error {
	framing := 0 // fields that frame the message
	for _, f := range head.fields {
		switch f.Name {
		case "Content-Length":
			framing++
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil {
				return fmt.Errorf("want a length in Content-Length, found %.40q", f.Value)
			}
			head.length = int64(n) // at most 63 bits
		case "Transfer-Encoding":
			framing++
			if !strings.EqualFold(f.Value, "chunked") || head.http10 {
				return fmt.Errorf("want Transfer-Encoding: chunked in HTTP/1.1, found %.40q", f.Value)
			}
			head.chunked = true
		case "Connection":
			head.keepAlive = head.keepAlive && !httpguts.HeaderValuesContainsToken([]string{f.Value}, "close")
		}
	}
	if framing > 1 {
		return errors.New("want one Content-Length or one Transfer-Encoding, found more")
	}
	if framing == 0 && head.status < http.StatusOK {
		head.length = 0
	}
	return nil
}
