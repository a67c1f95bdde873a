package client

import "fmt"

// Lines are header fields as they go on the wire, a line each. Nothing comes in but
// by [Lines.Add], so they can be written as they are: none ends the header, and none
// frames the message. The zero value has no field.
type Lines struct{ b []byte }

// Add adds a field. What frames a message is no field of these.
func (l *Lines) Add(name, value string) (err error) {
	if err = checkField(name, value); err == nil {
		l.b = appendField(l.b, name, value)
	}
	return err
}

// Reset leaves no field, and keeps the memory.
func (l *Lines) Reset() { l.b = l.b[:0] }

// Len is how many bytes they are.
func (l *Lines) Len() int { return len(l.b) }

// AppendTo appends the lines, each with its end, to b.
func (l *Lines) AppendTo(b []byte) []byte { return append(b, l.b...) }

func checkField(name, value string) error {
	switch {
	case name == "Content-Length" || name == "Host" || name == "Transfer-Encoding" || !isToken(name):
		return fmt.Errorf("want a header name, found %.40q", name)
	case !printable(value):
		return fmt.Errorf("want a header value without control characters in %q", name)
	default:
		return nil
	}
}

func appendField(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}
