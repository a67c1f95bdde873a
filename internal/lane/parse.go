package lane

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
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
// header before is not checked or copied again.
type parser struct {
	request requestLine
	fields  []field
}

// requestLine is what the first line says.
type requestLine struct {
	text, method, target string
	url                  url.URL
}

// field is one field line.
type field struct{ text, key, value string }

// parse reads a header that ends in its empty line. It knows only what is plain
// beyond doubt and says false for everything else, the harmless included: that
// is net/http's to judge. Where it says true, net/http reads the same.
func (p *parser) parse(b []byte) (h head, ok bool) {
	if len(b) > maxKept {
		*p = parser{}
	}
	defer func() {
		if len(b) > maxKept || len(p.fields) > maxKeptFields {
			*p = parser{}
		}
	}()
	text := "" // of the whole header, once a line is new
	if p.fields == nil {
		text = string(b)
	}
	first := lineEnd(b)
	if ok = p.requestLine(b[:first], text); !ok {
		return head{}, false
	}
	h = head{method: p.request.method, target: p.request.target, url: p.request.url, length: -1}
	if !p.readFields(b, first+len("\r\n"), text) || !h.take(p.fields) || h.host == "" {
		return head{}, false
	}
	return h, true
}

// lineEnd is where the first line of b ends. Each line feed is known to have a
// carriage return before it.
func lineEnd(b []byte) int { return bytes.IndexByte(b, '\n') - 1 }

func (p *parser) requestLine(line []byte, text string) bool {
	if string(line) == p.request.text {
		return len(line) > 0
	}
	p.request = requestLine{}
	if !printable(line) {
		return false
	}
	r := requestLine{text: copyOf(line, text, 0)}
	var version, rest string
	r.method, rest, _ = strings.Cut(r.text, " ")
	r.target, version, _ = strings.Cut(rest, " ")
	if version != "HTTP/1.1" || !plainMethod(r.method) || !plainTarget(r.target) {
		return false
	}
	u, err := url.ParseRequestURI(r.target)
	if err != nil {
		return false
	}
	r.url = *u
	p.request = r
	return true
}

// copyOf is line, which begins at start in the header text if there is one.
func copyOf(line []byte, text string, start int) string {
	if text == "" {
		return string(line)
	}
	return text[start : start+len(line)]
}

// readFields reads the field lines from start on.
func (p *parser) readFields(b []byte, start int, text string) bool {
	n := 0
	for {
		size := lineEnd(b[start:])
		if size == 0 {
			p.fields = p.fields[:n]
			return true
		}
		line := b[start : start+size]
		if n == len(p.fields) {
			p.fields = append(p.fields, field{})
		}
		if string(line) != p.fields[n].text {
			f, ok := readField(line, text, start)
			if p.fields[n] = f; !ok {
				return false
			}
		}
		start += size + len("\r\n")
		n++
	}
}

func readField(line []byte, text string, start int) (f field, ok bool) {
	if !printable(line) {
		return field{}, false
	}
	whole := copyOf(line, text, start)
	name, value, found := strings.Cut(whole, ":")
	key, ok := canonical(name)
	if !found || !ok {
		return field{}, false
	}
	return field{text: whole, key: key, value: strings.Trim(value, " ")}, true
}

// printable reports whether all bytes are from space to tilde, eight at a time.
func printable(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		// A top bit shows in w itself, below a space in the difference, and 0x7f
		// is the one byte that the sum lifts to the top.
		if (w|(w-ones*' ')|(w+ones))&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func plainMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	default:
		return false
	}
}

// plainTarget: the origin form (RFC 9112, section 3.2.1), without what a parser
// could take for an authority or a fragment.
func plainTarget(t string) bool {
	return strings.HasPrefix(t, "/") && !strings.HasPrefix(t, "//") && !strings.Contains(t, "#")
}

// take makes the handler's header of the fields.
func (h *head) take(fields []field) bool {
	h.header = make(http.Header, len(fields))
	values := make([]string, len(fields))
	for i, f := range fields {
		keep, ok := h.field(f.key, f.value)
		switch {
		case !ok:
			return false
		case !keep:
		case h.header[f.key] != nil:
			h.header[f.key] = append(h.header[f.key], f.value)
		default:
			// The capacity is one, so that a second value does not end up in a
			// neighbour's place.
			values[i] = f.value
			h.header[f.key] = values[i : i+1 : i+1]
		}
	}
	return true
}

// field looks at those fields that say more than something to the handler. keep:
// the handler sees it too.
func (h *head) field(key, value string) (keep, ok bool) {
	switch key {
	case "Host":
		if h.host != "" || !plainHost(value) {
			return false, false
		}
		h.host = value
		return false, true
	case "Content-Length":
		n, ok := plainLength(value)
		if !ok || h.length >= 0 {
			return false, false
		}
		h.length = n
		return true, true
	case "Connection":
		return true, strings.EqualFold(value, "keep-alive")
	case "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings":
		return false, false
	case "Pragma": // net/http makes a Cache-Control of it
		return false, false
	default:
		return true, true
	}
}

// plainHost: a name or address with or without a port.
func plainHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return host != ""
}

// plainLength: decimal digits, written in the one shortest way.
func plainLength(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int64(n), err == nil && n <= maxBody && strconv.FormatUint(n, 10) == text
}

// canonical is the name as net/http writes it; false: it has more in it than
// letters, digits, '-' and '_'.
func canonical(name string) (string, bool) {
	upper, same := true, true
	for i := range len(name) {
		c := name[i]
		lower, capital := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
		if !lower && !capital && !('0' <= c && c <= '9') && c != '-' && c != '_' {
			return "", false
		}
		same = same && !(upper && lower) && !(!upper && capital)
		upper = c == '-'
	}
	if same {
		return name, name != ""
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}
