package replay

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
	// maxBulk bounds the text that the server sends in reply to INFO. Redis 7 sends
	// about 1,500 bytes.
	maxBulk = 64 << 10
	// maxCode bounds the code of an error reply, in bytes.
	maxCode = 32
)

// reply is a server's reply to one command. The zero value has no kind and is invalid.
type reply struct {
	kind replyKind
	text string // of a status or a bulk string
}

type replyKind int

const (
	statusReply replyKind = iota + 1 // +text
	nilReply                         // $-1
	bulkReply                        // $length, then the text
)

// isOK reports whether the reply is the status OK.
func (r reply) isOK() bool { return r == reply{kind: statusReply, text: "OK"} }

// String describes the reply without the text, which could repeat a password.
func (r reply) String() string {
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

// serverError is the code of an error reply, such as OOM, or empty when the reply
// has no such code. The text after the code is omitted: some servers repeat unknown
// commands there, and AUTH contains the password.
type serverError string

func newServerError(text string) serverError {
	code, _, _ := strings.Cut(text, " ")
	if len(code) > maxCode || strings.ContainsFunc(code, func(c rune) bool { return c < 'A' || c > 'Z' }) {
		return ""
	}
	return serverError(code)
}

func (e serverError) Error() string {
	if e == "" {
		return "an error reply without a code"
	}
	return "the error reply " + string(e)
}

// protocolError describes how a reply differs from the accepted ones. It contains no
// bytes that the server sent.
type protocolError string

func (e protocolError) Error() string { return string(e) }

func protocolErrorf(format string, args ...any) error {
	return protocolError(fmt.Sprintf(format, args...))
}

// readReply reads one reply in RESP2. It accepts statuses, errors, the nil bulk
// string and bulk strings, because SET, AUTH, SELECT and INFO have no other
// replies, and allocates no more than maxBulk. An error reply is returned as a
// [serverError], any other type of reply and broken framing as a [protocolError].
// After an error other than a serverError the connection must be closed.
func readReply(r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return reply{kind: statusReply, text: rest}, nil
	case '-':
		return reply{}, newServerError(rest)
	case '$':
		return readBulk(r, rest)
	default:
		return reply{}, protocolErrorf("want a status, an error or a bulk string, found another type of reply")
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
func readBulk(r *bufio.Reader, length string) (reply, error) {
	if length == "-1" {
		return reply{kind: nilReply}, nil
	}
	size, err := strconv.ParseUint(length, 10, 32)
	if err != nil || size > maxBulk || strconv.FormatUint(size, 10) != length {
		return reply{}, protocolErrorf("want a bulk string of at most %d bytes, found another length", maxBulk)
	}
	text := make([]byte, size+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return reply{}, err
	}
	if string(text[size:]) != "\r\n" {
		return reply{}, protocolErrorf("want a bulk string that ends with CRLF, found another byte")
	}
	return reply{kind: bulkReply, text: string(text[:size])}, nil
}
