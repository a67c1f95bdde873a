//go:build linux

package server

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// maxBody is the longest request body of a plain request, in bytes.
const maxBody = 64 << 10

// endOfHead looks for the empty line that ends the header in b, of which the
// first seen bytes were looked at before. plain is false when a line ends in
// anything but CRLF.
func endOfHead(b []byte, seen int) (end int, plain bool) {
	for {
		i := bytes.IndexByte(b[seen:], '\n')
		if i < 0 {
			return 0, true
		}
		i += seen
		if i == 0 || b[i-1] != '\r' {
			return 0, false
		}
		if i >= 3 && b[i-2] == '\n' {
			return i + 1, true
		}
		seen = i + 1
	}
}

// head is the header of a plain request.
type head struct {
	method, target string
	url            url.URL
	host           string
	header         http.Header
	length         int64 // of the body; -1: no Content-Length
}

// The longest header of which the lines are kept, in bytes and in fields: it is
// memory of a connection that may wait for long.
const (
	maxKept       = 4 << 10
	maxKeptFields = 64
)

// parser reads the headers of one connection, one after the other. Clients repeat
// themselves: a line that is byte for byte the one at the same place in the
// header before is not checked or copied again, and while the same names come in
// the same order the handler's header stays, with what is new put into it.
type parser struct {
	head // what the last header says, if it is kept

	// generation changes with every header whose fields say anything else than those
	// of the one before it, but for the value of Content-Length: fields that differ in
	// more never have the same, whatever came between them. No header has 0.
	generation uint64

	first   string // the request line with its line end; "": no header is kept
	fields  []field
	values  []string // of the fields; most of the slices in header are parts of it
	doubled bool     // some fields have the same name
}

// field is one field line, with its line end.
type field struct{ text, key, value string }

// forget keeps nothing of the header before.
func (p *parser) forget() { *p = parser{generation: p.generation} }

// repeats is the size of the header that b begins with if that is byte for byte
// the one before, or 0. Then p.head is what it says.
func (p *parser) repeats(b []byte) int {
	if p.first == "" || !begins(b, p.first) {
		return 0
	}
	size := len(p.first)
	for i := range p.fields {
		text := p.fields[i].text
		if !begins(b[size:], text) {
			return 0
		}
		size += len(text)
	}
	if !begins(b[size:], lineEnd) {
		return 0
	}
	return size + len(lineEnd)
}

const lineEnd = "\r\n"

func begins(b []byte, text string) bool {
	return len(b) >= len(text) && string(b[:len(text)]) == text
}

// parse reads a header that ends in its empty line. It knows only what is plain
// beyond doubt and returns nil for everything else, the harmless included: that
// is net/http's to judge. Where it returns a head, net/http reads the same. The
// head is valid until the next call.
func (p *parser) parse(b []byte) *head {
	if len(b) > maxKept {
		p.forget()
	}
	text := "" // of the whole header, if nothing is kept of the one before
	if p.first == "" {
		text = string(b)
	}
	if !p.requestLine(b, text) || !p.readFields(b, text) || p.host == "" {
		p.forget()
		return nil
	}
	if len(b) > maxKept || len(p.fields) > maxKeptFields {
		h := p.head
		p.forget()
		return &h
	}
	return &p.head
}

// copyLine copies the first line of b, which begins at start in the header text
// if there is one. Each line feed is known to have a carriage return before it.
func copyLine(b []byte, text string, start int) string {
	size := bytes.IndexByte(b, '\n') + 1
	if text == "" {
		return string(b[:size])
	}
	return text[start : start+size]
}

func (p *parser) requestLine(b []byte, text string) bool {
	if p.first != "" && begins(b, p.first) {
		return true
	}
	p.first = copyLine(b, text, 0)
	line := strings.TrimSuffix(p.first, lineEnd)
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" || !printable(b[:len(line)]) || !plainMethod(method) || !plainTarget(target) {
		return false
	}
	u, err := parseTarget(target)
	if err != nil {
		return false
	}
	p.method, p.target, p.url = method, target, u
	return true
}

// parseTarget is [url.ParseRequestURI] of a plain target.
func parseTarget(target string) (url.URL, error) {
	path, query, found := strings.Cut(target, "?")
	if unescaped(path) && found == (query != "") {
		return url.URL{Path: path, RawQuery: query}, nil
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return url.URL{}, err
	}
	return *u, nil
}

// unescaped: a path that is written the same with escapes and without.
func unescaped(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// readFields reads the field lines behind the request line.
func (p *parser) readFields(b []byte, text string) bool {
	n, start := 0, len(p.first)
	for ; !begins(b[start:], lineEnd); n++ {
		if n == len(p.fields) {
			p.fields = append(p.fields, field{})
		}
		if old := p.fields[n].text; old != "" && begins(b[start:], old) {
			start += len(old)
			continue
		}
		f, ok := p.fields[n].next(b[start:], text, start)
		if !ok || !p.replace(n, f) {
			return false
		}
		start += len(f.text)
	}
	if n < len(p.fields) {
		p.fields, p.header = p.fields[:n], nil
	}
	return p.header != nil || p.take()
}

// next reads the first line of b, which begins at start in the header text if there
// is one. A name that is written as the one of the field before, the receiver, is that.
func (before field) next(b []byte, text string, start int) (f field, ok bool) {
	f.text = copyLine(b, text, start)
	line := strings.TrimSuffix(f.text, lineEnd)
	name, value, found := strings.Cut(line, ":")
	if !found || !printable(b[:len(line)]) {
		return field{}, false
	}
	f.value = strings.Trim(value, " ")
	// A name has the same length in its canonical form.
	if n := len(before.key); n > 0 && n == len(name) && before.text[:n] == name {
		f.key = before.key
		return f, true
	}
	f.key, ok = canonical(name)
	return f, ok
}

// replace puts f in the place of the nth field, and its value into the header. If
// another name was there, there is no header any more.
func (p *parser) replace(n int, f field) bool {
	before := p.fields[n].key
	p.fields[n] = f
	if p.header == nil || before != f.key || p.doubled {
		p.header = nil
		return true
	}
	if f.key != "Content-Length" {
		p.generation++
	}
	p.values[n] = f.value
	return p.look(f.key, f.value)
}

// take makes the handler's header of the fields.
func (p *parser) take() bool {
	p.generation++
	p.header, p.values = make(http.Header, len(p.fields)), make([]string, len(p.fields))
	p.doubled, p.host, p.length = false, "", -1
	for i, f := range p.fields {
		before := p.header[f.key]
		switch {
		case f.key == "Host" && p.host != "", f.key == "Content-Length" && before != nil:
			return false
		case !p.look(f.key, f.value):
			return false
		case f.key == "Host": // the handler has it elsewhere
		case before != nil:
			p.header[f.key] = append(before, f.value)
			p.doubled = true
		default:
			// The capacity is one, so that a second value does not end up in a
			// neighbour's place.
			p.values[i] = f.value
			p.header[f.key] = p.values[i : i+1 : i+1]
		}
	}
	return true
}

// look takes what a field says to more than the handler; false: it is not plain.
func (h *head) look(key, value string) (ok bool) {
	switch key {
	case "Host":
		h.host = value
		return plainHost(value)
	case "Content-Length":
		h.length, ok = plainLength(value)
		return ok
	case "Connection":
		return strings.EqualFold(value, "keep-alive")
	case "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings":
		return false
	case "Pragma": // net/http makes a Cache-Control of it
		return false
	default:
		return true
	}
}
