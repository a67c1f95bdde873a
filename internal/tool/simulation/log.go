package simulation

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/certgate/certgate/internal/core/identity"
)

// MaxLine is the length of the longest line that [ReadLog] parses. Lines of the gateway are
// shorter than 8 KiB.
const MaxLine = 64 << 10

// maxField is the length of the longest text in an [Entry].
const maxField = 1 << 10

// Entry is the line of a request in the audit log. Its texts are those that the gateway wrote:
// printable ASCII, except for names of rules.
type Entry struct {
	Time        string `json:"time"`
	Message     string `json:"msg"`
	RequestID   string `json:"request_id"`
	Client      string `json:"client"`
	Auth        string `json:"auth"`
	Method      string `json:"method"`
	Path        string `json:"path"`
	Decision    string `json:"decision"`
	Reason      string `json:"reason"`
	Detail      string `json:"detail"`
	WouldRefuse string `json:"would_refuse"`
	Rule        string `json:"rule"`
	KeyID       string `json:"key_id"`
	Serial      string `json:"serial"`
	Source      string `json:"source"`
	TraceID     string `json:"trace_id"`
	Status      int    `json:"status"`
}

// Skipped counts the lines that are not requests.
type Skipped struct {
	Other   int `json:"other"`    // JSON of other messages and of other programs
	NotJSON int `json:"not_json"` // other text, and lines with a prefix
	TooLong int `json:"too_long"` // lines of more than MaxLine bytes
	Invalid int `json:"invalid"`  // requests with values that the gateway does not write
}

// Lines returns the number of lines.
func (s Skipped) Lines() int { return s.Other + s.NotJSON + s.TooLong + s.Invalid }

// add adds the counts of another log.
func (s *Skipped) add(other Skipped) {
	s.Other += other.Other
	s.NotJSON += other.NotJSON
	s.TooLong += other.TooLong
	s.Invalid += other.Invalid
}

// ReadLog calls request for each request in an audit log with JSON lines, plain or compressed by
// gzip, until it returns an error. It needs the memory of one line. The entry is valid
// during the call only; its texts may be kept. Empty lines are not counted.
func ReadLog(r io.Reader, request func(*Entry) error) (skipped Skipped, err error) {
	lines, err := plainText(r)
	if err != nil {
		return skipped, err
	}
	for {
		line, readErr := lines.ReadSlice('\n')
		if errors.Is(readErr, bufio.ErrBufferFull) {
			skipped.TooLong++
			readErr = discardLine(lines)
			line = nil
		}
		if err := skipped.parse(line, request); err != nil {
			return skipped, err
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return skipped, nil
		case readErr != nil:
			return skipped, readErr
		}
	}
}

// plainText returns a reader of the text with a buffer for the longest line.
func plainText(r io.Reader) (*bufio.Reader, error) {
	const lineEnd = 1
	b := bufio.NewReaderSize(r, MaxLine+lineEnd)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return b, nil
	}
	text, err := gzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(text, MaxLine+lineEnd), nil
}

// discardLine reads up to the end of a line.
func discardLine(r *bufio.Reader) error {
	for {
		if _, err := r.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// parse passes the request in a line to the function, or counts the line.
func (s *Skipped) parse(line []byte, request func(*Entry) error) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	e, err := parseEntry(line)
	_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err != nil && !wrongType:
		s.NotJSON++
	case line[0] != '{' || e.Message != "request" || !slices.Contains([]string{"allowed", "refused", "failed"}, e.Decision):
		s.Other++
	case wrongType || !e.valid():
		s.Invalid++
	default:
		return request(&e)
	}
	return nil
}

// parseEntry parses a line as JSON.
func parseEntry(line []byte) (e Entry, err error) {
	if e.parsePlain(line) {
		return e, nil
	}
	e = Entry{}
	err = json.Unmarshal(line, &e)
	return e, err
}

// valid reports whether the gateway can have written the entry.
func (e *Entry) valid() bool {
	for _, text := range []string{
		e.Time, e.RequestID, e.Auth, e.Method, e.Path, e.Reason, e.Detail, e.WouldRefuse, e.Rule, e.KeyID, e.Serial, e.Source, e.TraceID,
	} {
		if len(text) > maxField {
			return false
		}
	}
	return e.Client == "" || identity.CheckAny(e.Client) == nil
}
