package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLine bounds a line that the server sends, in bytes.
	maxLine = 4 << 10
	// maxBulk bounds a bulk string. The reply of Redis 7 to INFO has about 1,500 bytes.
	maxBulk = 64 << 10
	// maxCode bounds the code of an error reply, in bytes.
	maxCode = 32
)

// Reply is a server's reply to one command. The zero value has no kind and is invalid.
type Reply struct {
	kind replyKind
	text string // of a status or a bulk string
}

type replyKind int

const (
	statusReply replyKind = iota + 1 // +text
	nilReply                         // $-1
	bulkReply                        // $length, then the text
)

// IsOK reports whether the reply is the status OK.
func (r Reply) IsOK() bool { return r == Reply{kind: statusReply, text: "OK"} }

// IsNil reports whether the reply is the nil bulk string.
func (r Reply) IsNil() bool { return r.kind == nilReply }

// Bulk returns the text of a bulk string, and false for any other reply.
func (r Reply) Bulk() (text string, ok bool) { return r.text, r.kind == bulkReply }

// String describes the reply without the text, which could repeat a password.
func (r Reply) String() string {
	switch r.kind {
	case statusReply:
		return "a status that is not OK"
	case nilReply:
		return "nil"
	case bulkReply:
		return "a bulk string"
	default:
		return "no reply"
	}
}

// ServerError is the code of an error reply, such as OOM, or empty when the reply
// has no such code. The text after the code is omitted: some servers repeat unknown
// commands there, and AUTH contains the password.
type ServerError string

func newServerError(text string) ServerError {
	code, _, _ := strings.Cut(text, " ")
	if len(code) > maxCode || strings.ContainsFunc(code, func(c rune) bool { return c < 'A' || c > 'Z' }) {
		return ""
	}
	return ServerError(code)
}

func (e ServerError) Error() string {
	if e == "" {
		return "an error reply without a code"
	}
	return "the error reply " + string(e)
}

// ProtocolError describes how a reply differs from the accepted ones. It contains no
// bytes that the server sent.
type ProtocolError string

func (e ProtocolError) Error() string { return string(e) }

// IsReply reports whether the server sent a reply and the error describes it.
func IsReply(err error) bool {
	return errors.As(err, new(ServerError)) || errors.As(err, new(ProtocolError))
}

func protocolErrorf(format string, args ...any) error {
	return ProtocolError(fmt.Sprintf(format, args...))
}

// readReply reads one reply in RESP2. It accepts statuses, errors, the nil bulk
// string and bulk strings, because the commands of the gateway have no other
// replies, and allocates no more than maxBulk. An error reply is returned as a
// [ServerError], any other type of reply and broken framing as a [ProtocolError].
// After an error other than a ServerError the connection must be closed.
func readReply(r *bufio.Reader) (Reply, error) {
	line, err := readLine(r)
	if err != nil {
		return Reply{}, err
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return Reply{kind: statusReply, text: rest}, nil
	case '-':
		return Reply{}, newServerError(rest)
	case '$':
		return readBulk(r, rest)
	default:
		return Reply{}, protocolErrorf("want a status, an error or a bulk string, found another type of reply")
	}
}

// readLine returns a line of at least one byte without its CRLF.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", protocolErrorf("want a line of at most %d bytes, found a longer one", maxLine)
	case err != nil:
		return "", err
	}
	text, ended := strings.CutSuffix(string(line), "\r\n")
	if !ended || text == "" {
		return "", protocolErrorf("want a line that ends with CRLF and is not empty, found another")
	}
	return text, nil
}

// readBulk reads the rest of a bulk string. length is the text after the "$".
func readBulk(r *bufio.Reader, length string) (Reply, error) {
	if length == "-1" {
		return Reply{kind: nilReply}, nil
	}
	size, err := strconv.ParseUint(length, 10, 32)
	if err != nil || size > maxBulk || strconv.FormatUint(size, 10) != length {
		return Reply{}, protocolErrorf("want a bulk string of at most %d bytes, found another length", maxBulk)
	}
	text := make([]byte, size+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return Reply{}, err
	}
	if string(text[size:]) != "\r\n" {
		return Reply{}, protocolErrorf("want a bulk string that ends with CRLF, found another byte")
	}
	return Reply{kind: bulkReply, text: string(text[:size])}, nil
}
