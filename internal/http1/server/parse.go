//go:build linux

package server

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/syntax"
)

const lineEnd = "\r\n"

// endOfHead finds the empty line that ends the header in b, and returns the length of the
// header, or 0 while the header is incomplete. The first seen bytes were searched before.
// plain is false when a line ends in anything other than CRLF.
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

// head is the header of a plain request: the request that the handler gets, with its parts, in one
// allocation. They are new for each request: the handler may keep them, and a transport may read
// the body after the handler has returned.
type head struct {
	request http.Request
	url     url.URL
	body    body
}

// parseHead parses a header that ends in its empty line and whose lines end in CRLF. It
// returns nil for every request that is not plain, even if it is harmless; net/http serves
// these requests. If it returns a head, net/http would read the same request. The strings of
// the head share one copy of b, except for a value that intern returns: see [Server]. The other
// fields are those of template.
func parseHead(b []byte, intern func([]byte) (string, bool), template *http.Request) *head {
	text, known := copyText(b[:len(b)-len(lineEnd)], intern)
	line, fields, _ := syntax.CutLine(text)
	h := &head{request: *template}
	r := &h.request
	r.URL, r.Body, r.ContentLength = &h.url, http.NoBody, -1
	if !h.parseRequestLine(line) || !h.parseFields(fields, known) || r.Host == "" {
		return nil
	}
	r.ContentLength = max(r.ContentLength, 0)
	return h
}

// minInterned is the length of the shortest field line that is looked up with intern, in
// bytes. Few fields except the certificate are longer.
const minInterned = 512

// interned is a field value that was cut out of the text of a header.
type interned struct {
	line  int // the number of its line, where the request line is 0; 0: none
	value string
}

// copyText returns a copy of b without the first long field value for which intern returns a
// string. The line of that value ends after the colon.
func copyText(b []byte, intern func([]byte) (string, bool)) (string, interned) {
	if intern == nil || len(b) < minInterned {
		return string(b), interned{}
	}
	var space [1 << 10]byte
	for line, start := 0, 0; start < len(b); line++ {
		end := start + bytes.IndexByte(b[start:], '\n') - 1 // every line ends in CRLF
		if line > 0 && end-start >= minInterned {
			from := start + bytes.IndexByte(b[start:end], ':') + 1 // without a colon, nothing is cut out below
			if value, ok := intern(bytes.Trim(b[from:end], " ")); ok {
				return string(append(append(space[:0], b[:from]...), b[end:]...)), interned{line, value}
			}
		}
		start = end + len(lineEnd)
	}
	return string(b), interned{}
}

func (h *head) parseRequestLine(line string) bool {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" || !syntax.IsPrintable(line) || !slices.Contains(plainMethods, method) || !isPlainTarget(target) {
		return false
	}
	h.request.Method, h.request.RequestURI = method, target
	return h.parseTarget(target)
}

// parseTarget sets the URL to what [url.ParseRequestURI] returns for a plain target.
func (h *head) parseTarget(target string) bool {
	path, query, found := strings.Cut(target, "?")
	if isUnescaped(path) && found == (query != "") {
		h.url = url.URL{Path: path, RawQuery: query}
		return true
	}
	u, err := url.ParseRequestURI(target)
	if err == nil {
		h.url = *u
	}
	return err == nil
}

// isUnescaped reports whether the path is spelled the same with and without escapes.
func isUnescaped(path string) bool {
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

// parseFields parses the field lines into the header that the handler gets.
func (h *head) parseFields(text string, known interned) bool {
	n := strings.Count(text, "\n")
	header := make(http.Header, n)
	h.request.Header = header
	values := make([]string, n) // one backing array for the usual single values
	for i := 0; text != ""; i++ {
		var line string
		line, text, _ = syntax.CutLine(text)
		name, value, found := strings.Cut(line, ":")
		key, ok := syntax.CanonicalName(name)
		if !found || !ok || !syntax.IsPrintable(value) {
			return false
		}
		value = strings.Trim(value, " ")
		if i+1 == known.line {
			value = known.value
		}
		if !h.interpret(key, value) {
			return false
		}
		switch before := header[key]; {
		case key == "Host": // net/http removes it from the header, too
		case before != nil:
			header[key] = append(before, value)
		default:
			// The capacity is one, so that a second value does not overwrite the next name's.
			values[i] = value
			header[key] = values[i : i+1 : i+1]
		}
	}
	return true
}

// interpret evaluates the fields that concern the connection or the framing. ok is false if
// net/http has to serve a request with this field.
func (h *head) interpret(key, value string) (ok bool) {
	switch key {
	case "Host":
		ok = h.request.Host == "" && value != "" && httpguts.ValidHostHeader(value)
		h.request.Host = value
		return ok
	case "Content-Length":
		if h.request.ContentLength >= 0 {
			return false
		}
		h.request.ContentLength, ok = parseLength(value)
		return ok
	case "Connection":
		return strings.EqualFold(value, "keep-alive")
	case "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings":
		return false
	case "Pragma": // net/http adds a Cache-Control
		return false
	default:
		return true
	}
}

// plainMethods do not change the form of the request or the response, except for HEAD.
var plainMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

// isPlainTarget reports whether t has the origin form (RFC 9112, section 3.2.1) and nothing
// that a parser could read as an authority or a fragment.
func isPlainTarget(t string) bool {
	return strings.HasPrefix(t, "/") && !strings.HasPrefix(t, "//") && !strings.Contains(t, "#")
}

// parseLength accepts decimal digits in the shortest form.
func parseLength(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err == nil && (text[0] != '0' || text == "0")
}
