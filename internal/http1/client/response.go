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

// parseHead parses a header strictly (RFC 9112, sections 4 to 6): every line ends in CRLF,
// names are tokens, no line is folded, and the length is unambiguous. It uses the memory of
// fields.
func parseHead(text []byte, fields []Field) (responseHead, error) {
	// All names and values are parts of one string.
	line, rest, ok := syntax.CutLine(string(text[:len(text)-2]))
	if fields == nil {
		const typical = 16 // with those that the caller appends
		fields = make([]Field, 0, typical)
	}
	head := responseHead{length: -1, fields: fields[:0]}
	if !ok {
		return head, errLineFeed
	}
	var err error
	if head.status, head.http10, err = parseStatusLine(line); err != nil {
		return head, err
	}
	head.keepAlive = !head.http10
	for rest != "" {
		if line, rest, ok = syntax.CutLine(rest); !ok {
			return head, errLineFeed
		}
		name, value, err := parseField(line)
		if err != nil {
			return head, err
		}
		head.fields = append(head.fields, Field{name, value})
	}
	return head, head.setFraming()
}

func parseStatusLine(line string) (status int, http10 bool, err error) {
	version, rest, ok := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	n, convErr := strconv.Atoi(code)
	if !ok || version != "HTTP/1.1" && version != "HTTP/1.0" || convErr != nil || len(code) != 3 || n < 100 || !syntax.IsFieldValue(reason) {
		return 0, false, fmt.Errorf("want a status line of HTTP/1.1, found %.40q", line)
	}
	return n, version == "HTTP/1.0", nil
}

func parseField(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	canonical, token := syntax.CanonicalName(name)
	if !ok || !token {
		return "", "", fmt.Errorf("want NAME: VALUE in a line of the header, found %.40q", line)
	}
	value = strings.Trim(value, " \t")
	if !syntax.IsFieldValue(value) {
		return "", "", fmt.Errorf("want no control characters in %.40q", name)
	}
	return canonical, value, nil
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
