//go:build linux

package main

import (
	"fmt"
	"strings"
)

const (
	// chunk is the size of the chunks of a chunked body.
	chunk = 16 << 10
	// maxSources is the number of different addresses of sourceFormat.
	maxSources = 1 << 16
	// sourceFormat is an address in X-Forwarded-For. Addresses differ in their /64
	// network, because a gateway may count a network as one source.
	sourceFormat = "2001:db8:0:%04x::1"
)

// message contains the parts that all requests of a load have in common.
type message struct {
	method, path, host string
	body               int // bytes
	chunked            bool
	sources            int      // number of addresses in X-Forwarded-For; 0 omits the field
	fields             []string // further fields
}

// head returns the request up to the value of X-SSL-Auth, which is the last field.
func (m message) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", m.method, m.path)
	if m.sources > 0 {
		fmt.Fprintf(&b, "X-Forwarded-For: "+sourceFormat+"\r\n", 0)
	}
	fmt.Fprintf(&b, "Host: %s\r\n", m.host)
	switch {
	case m.method == "GET":
	case m.chunked:
		b.WriteString("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
	default:
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", m.body)
	}
	for _, field := range m.fields {
		b.WriteString(field + "\r\n")
	}
	b.WriteString("X-SSL-Auth: ")
	return b.String()
}

// content returns the body as it is sent.
func (m message) content() string {
	switch {
	case m.method == "GET":
		return ""
	case !m.chunked:
		return strings.Repeat("x", m.body)
	}
	var b strings.Builder
	for left := m.body; left > 0; left -= min(left, chunk) {
		n := min(left, chunk)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, strings.Repeat("x", n))
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// sources writes the addresses of X-Forwarded-For into requests, in turn.
type sources struct {
	count, last int
	at          int // index of the group that varies, in a request
}

func newSources(m message) sources {
	return sources{count: m.sources, at: len(m.method+" "+m.path+" HTTP/1.1\r\nX-Forwarded-For: ") + strings.Index(sourceFormat, "%")}
}

// write sets the next address in a request, if its message has addresses.
func (s *sources) write(request []byte) {
	if s.count == 0 {
		return
	}
	const digits = "0123456789abcdef"
	for i, shift := range []int{12, 8, 4, 0} {
		request[s.at+i] = digits[s.last>>shift&15]
	}
	s.last = (s.last + 1) % s.count
}
