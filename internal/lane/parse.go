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

// head is the header of a plain request. All its strings are parts of one.
type head struct {
	method, target string
	url            *url.URL
	host           string
	header         http.Header
	length         int64 // of the body; -1: no Content-Length
}

// parse reads a header that ends in its empty line. It knows only what is plain
// beyond doubt and says false for everything else, the harmless included: that
// is net/http's to judge. Where it says true, net/http reads the same.
func parse(b []byte) (h head, ok bool) {
	if !printableLines(b) {
		return head{}, false
	}
	text := string(b[:len(b)-len("\r\n")])
	line, rest, _ := strings.Cut(text, "\r\n")
	if h.method, h.target, ok = requestLine(line); !ok {
		return head{}, false
	}
	var err error
	if h.url, err = url.ParseRequestURI(h.target); err != nil {
		return head{}, false
	}
	if ok = h.fields(rest); !ok || h.host == "" {
		return head{}, false
	}
	return h, true
}

// printableLines reports whether b has nothing but printable ASCII and CRLF. Each
// line feed is known to have a carriage return before it.
func printableLines(b []byte) bool {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 1 || !printable(b[:i-1]) {
			return false
		}
		b = b[i+1:]
	}
	return true
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

func requestLine(line string) (method, target string, ok bool) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	return method, target, version == "HTTP/1.1" && plainMethod(method) && plainTarget(target)
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

// fields reads the field lines of a header.
func (h *head) fields(lines string) bool {
	h.length = -1
	n := strings.Count(lines, "\n")
	h.header = make(http.Header, n)
	values := make([]string, n)
	for len(lines) > 0 {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, found := strings.Cut(line, ":")
		key, ok := canonical(name)
		if !found || !ok {
			return false
		}
		value = strings.Trim(value, " ")
		keep, ok := h.field(key, value)
		switch {
		case !ok:
			return false
		case !keep:
		case h.header[key] != nil:
			h.header[key] = append(h.header[key], value)
		default:
			// The capacity is one, so that a second value does not end up in a
			// neighbour's place.
			values[0] = value
			h.header[key], values = values[:1:1], values[1:]
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
