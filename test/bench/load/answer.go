//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// answer contains the parts of an HTTP response that the load uses.
type answer struct {
	status int
	length int  // of header and body, in bytes
	last   bool // the server closes the connection
}

// errPartial means that a part of the response has not arrived yet.
var errPartial = errors.New("want the rest of a response")

// parseAnswer parses the response at the beginning of received. It returns errPartial until
// the whole header has arrived. It accepts only responses with a Content-Length, as the
// upstream of the benchmark sends.
func parseAnswer(received []byte) (answer, error) {
	end := bytes.Index(received, []byte("\r\n\r\n"))
	if end < 0 {
		return answer{}, errPartial
	}
	line, fields, _ := bytes.Cut(received[:end+2], []byte("\r\n"))
	status, err := parseStatus(line)
	if err != nil {
		return answer{}, err
	}
	a, content := answer{status: status}, -1
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if content, err = strconv.Atoi(string(value)); err != nil {
				return answer{}, err
			}
		case bytes.EqualFold(name, []byte("Connection")):
			a.last = bytes.EqualFold(value, []byte("close"))
		}
	}
	if content < 0 {
		return answer{}, errors.New("want a response with a Content-Length, found none")
	}
	a.length = end + 4 + content
	return a, nil
}

func parseStatus(line []byte) (int, error) {
	digits, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !found || len(digits) < 3 {
		return 0, fmt.Errorf("want an HTTP/1.1 status line, found %q", line)
	}
	return strconv.Atoi(string(digits[:3]))
}
