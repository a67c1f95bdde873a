package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Answer is an answer as the upstream gave it.
type Answer struct {
	Status int
	Fields []Field // in their order, those of the connection among them
	Length int64   // of the body, as declared; -1: unknown
	Body   io.ReadCloser
}

// Take gives the body, if all of it has come together with the header; then nothing
// is left to read. The bytes are valid until Body is closed.
func (a *Answer) Take() ([]byte, bool) {
	b, ok := a.Body.(*body)
	if !ok {
		return nil, false
	}
	return b.take()
}

// Field is one field line of an answer. The name is in canonical form.
type Field struct{ Name, Value string }

// answer is the header of a response.
type answer struct {
	status  int
	fields  []Field
	length  int64 // -1: until the connection ends
	chunked bool
	keep    bool // the connection may serve again

	version10 bool // HTTP/1.0
}

// readHead reads up to and including the empty line. The result stands in the
// buffer and is valid until the next read.
func (cn *conn) readHead() ([]byte, error) {
	seen := 0
	for {
		have := cn.buf[cn.start:cn.end]
		// The end may have come in two parts.
		from := max(0, seen-3)
		if i := bytes.Index(have[from:], []byte("\r\n\r\n")); i >= 0 {
			n := from + i + 4
			cn.start += n
			return have[:n], nil
		}
		seen = len(have)
		if err := cn.fill(cn.options.MaxHeaderBytes); err != nil {
			return nil, err
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHead reads a header strictly (RFC 9112, sections 4 to 6): every line ends
// in CRLF, names are tokens, nothing is folded, and the length has one reading.
func parseHead(head []byte) (answer, error) {
	// One string; every name and value is a part of it.
	text := string(head)
	line, rest, _ := strings.Cut(text[:len(text)-2], "\r\n")
	a := answer{length: -1}
	var err error
	if a.status, a.keep, err = parseStatusLine(line); err != nil {
		return a, err
	}
	a.version10 = !a.keep
	a.fields = make([]Field, 0, strings.Count(rest, "\n"))
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, err := parseField(line)
		if err != nil {
			return a, err
		}
		a.fields = append(a.fields, Field{name, value})
	}
	return a, a.frame()
}

func parseStatusLine(line string) (status int, keep bool, err error) {
	version, rest, ok := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	n, convErr := strconv.Atoi(code)
	if !ok || version != "HTTP/1.1" && version != "HTTP/1.0" || convErr != nil || len(code) != 3 || n < 100 || !printable(reason) {
		return 0, false, fmt.Errorf("want a status line of HTTP/1.1, found %.40q", line)
	}
	return n, version == "HTTP/1.1", nil
}

func parseField(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return "", "", fmt.Errorf("want NAME: VALUE in a line of the header, found %.40q", line)
	}
	value = trim(value)
	if !printable(value) {
		return "", "", fmt.Errorf("want no control characters in %.40q", name)
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// frame decides where the body ends (RFC 9112, section 6.3). What has two
// readings is refused.
func (a *answer) frame() error {
	framed := 0
	for _, f := range a.fields {
		switch f.Name {
		case "Content-Length":
			framed++
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil {
				return fmt.Errorf("want a length in Content-Length, found %.40q", f.Value)
			}
			a.length = int64(n) // ParseUint was told 63 bits
		case "Transfer-Encoding":
			framed++
			if !strings.EqualFold(f.Value, "chunked") || a.version10 {
				return fmt.Errorf("want Transfer-Encoding: chunked in HTTP/1.1, found %.40q", f.Value)
			}
			a.chunked = true
		case "Connection":
			a.keep = a.keep && !hasClose(f.Value)
		}
	}
	if framed > 1 {
		return errors.New("want one Content-Length or one Transfer-Encoding, found more")
	}
	if framed == 0 && a.status < http.StatusOK {
		a.length = 0
	}
	return nil
}

func hasClose(list string) bool {
	for option := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(trim(option), "close") {
			return true
		}
	}
	return false
}
