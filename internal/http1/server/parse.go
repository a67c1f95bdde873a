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

// head is the header of a plain request: the request that the handler gets, with its parts, in one
// allocation. The handler may keep them, and a transport may read the body after the handler has
// returned, so a head is used for another request only after [response.ReuseRequest].
type head struct {
	request http.Request
	url     url.URL
	body    body
	header  http.Header // the request's, if it has at most as many fields as values
	values  [16]string
}

// parseHead parses a header that ends in its empty line and whose lines end in CRLF. It
// returns nil for every request that is not plain, even if it is harmless; net/http serves
// these requests. If it returns a head, net/http would read the same request. The strings of
// the head share one copy of b, except for the value of the longest line if intern returns it:
// see [Server]. The other fields are those of template. The result is h, of which only the memory
// is used.
func parseHead(h *head, b []byte, longest syntax.Line, intern func([]byte) (string, bool), template *http.Request) *head {
	text, known := copyText(b[:len(b)-len(lineEnd)], longest, intern)
	line, fields, _ := strings.Cut(text, "\n")
	h.request, h.body = *template, body{}
	r := &h.request
	r.URL, r.Body, r.ContentLength = &h.url, http.NoBody, -1
	if !h.parseRequestLine(line[:len(line)-len("\r")]) || !h.parseFields(fields, known) || r.Host == "" {
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
	value string // "": none
	after int    // how many bytes of the text follow its line
}

// copyText returns a copy of b. If intern returns a string for the value of the longest line, the
// copy has nothing between the colon and the end of that line.
func copyText(b []byte, longest syntax.Line, intern func([]byte) (string, bool)) (string, interned) {
	line := b[longest.Start:longest.End]
	colon := bytes.IndexByte(line, ':')
	if intern == nil || len(line) < minInterned || longest.Start == 0 || colon < 0 {
		return string(b), interned{}
	}
	value, ok := intern(bytes.Trim(line[colon+1:], " "))
	if !ok {
		return string(b), interned{}
	}
	var space [1 << 10]byte
	text := append(append(space[:0], b[:longest.Start+colon+1]...), b[longest.End:]...)
	return string(text), interned{value, len(b) - longest.End - len(lineEnd)}
}

func (h *head) parseRequestLine(line string) bool {
	method, rest, _ := strings.Cut(line, " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok || !slices.Contains(plainMethods, method) {
		return false
	}
	h.request.Method, h.request.RequestURI = method, target
	return h.parseTarget(target)
}

// parseTarget sets the URL to what [url.ParseRequestURI] returns for a plain target. That has the
// origin form (RFC 9112, section 3.2.1) and nothing that a parser could read as an authority or a
// fragment.
func (h *head) parseTarget(target string) bool {
	switch {
	case !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//"):
		return false
	case isUnescaped(target):
		h.url = url.URL{Path: target}
		return true
	case !syntax.IsPrintable(target) || strings.ContainsAny(target, " #"):
		return false
	}
	if path, query, _ := strings.Cut(target, "?"); query != "" && isUnescaped(path) {
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
	header, values := h.header, h.values[:] // one backing array for the usual single values
	switch {
	case n > len(values): // not kept: it takes longer to clear a large map than to make a small one
		header, values = make(http.Header, n), make([]string, n)
	case header == nil:
		header = make(http.Header, n)
		h.header = header
	default:
		clear(header)
	}
	h.request.Header = header
	for i := 0; text != ""; i++ {
		var key, value string
		var ok bool
		if key, value, text, ok = syntax.CutField(text); !ok {
			return false
		}
		if known.value != "" && len(text) == known.after {
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

// parseLength accepts decimal digits in the shortest form.
func parseLength(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err == nil && (text[0] != '0' || text == "0")
}
