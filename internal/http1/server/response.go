//go:build linux

package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
)

// maxHeld is how much of an answer without Content-Length waits for its end, so
// that it gets one. net/http has the same number.
const maxHeld = 2048

// response writes one answer. It is the connection's and used again for the
// next.
type response struct {
	c      *conn
	served int // answers on this connection, with this one

	header  http.Header
	head    bool // the request was a HEAD
	status  int  // 0: the handler has not said
	length  int64
	written int64
	typed   bool   // nobody has to guess what the body is
	dated   bool   // the handler has said the date, or that there is none
	held    []byte // body, before the header is made
	made    bool   // the header is in out, or on its way
	chunked bool
	closing bool // the connection ends behind this answer
	err     error
	out     []byte // not yet written
	names   []string
}

func (w *response) reset(c *conn, method string) {
	if len(w.header) > 0 {
		clear(w.header)
	}
	if w.header == nil {
		w.header = make(http.Header)
	}
	*w = response{c: c, served: w.served + 1, header: w.header, head: method == http.MethodHead, length: -1, held: w.held[:0], names: w.names[:0]}
}

// Header is what [http.ResponseWriter] wants.
func (w *response) Header() http.Header { return w.header }

// WriteHeader is what [http.ResponseWriter] wants: what the handler does to the
// header from here on is too late. Informational answers are not written.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < http.StatusOK {
		return
	}
	w.status = status
	w.declaredLength()
	h := w.header
	_, said := h["Content-Type"]
	w.typed = said || h.Get("Content-Encoding") != ""
	_, w.dated = h["Date"]
	w.begun()
}

// begun writes the status line and the handler's fields.
func (w *response) begun() {
	w.closing = hasClose(w.header["Connection"]) || w.c.s.closed.Load()
	w.out = append(strconv.AppendInt(append(w.c.s.buffer()[:0], "HTTP/1.1 "...), int64(w.status), 10), ' ')
	w.out = append(append(w.out, http.StatusText(w.status)...), "\r\n"...)
	if len(w.header) > 0 {
		w.fields()
	}
}

// WriteFields is WriteHeader for a response from an upstream: it writes the fields after
// those of Header, and the body has the given length in bytes. The fields include a Date,
// and none that frames the message or concerns the connection. Nothing is added by
// guessing, such as Content-Type. The slice may be changed afterwards.
func (w *response) WriteFields(status int, length int64, fields []client.Field) {
	if w.status != 0 {
		return
	}
	w.status, w.length, w.typed, w.dated = status, length, true, true
	w.begun()
	for _, field := range fields {
		w.field(field.Name, field.Value)
	}
}

// Repeats is a place that belongs to the connection, for whoever makes something of
// a request's fields, and a number that changes whenever they do, but for the value of
// Content-Length.
func (w *response) Repeats() (place *any, generation uint64) {
	return &w.c.place, w.c.parser.generation
}

func (w *response) declaredLength() {
	if v := w.header["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseUint(v[0], 10, 63)
		if err != nil || len(v) > 1 {
			delete(w.header, "Content-Length")
			return
		}
		w.length = int64(n)
	}
}

// Write is what [http.ResponseWriter] wants.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p)) // counted even when refused: then the connection ends
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if !w.made && (w.length < 0 || !w.typed) && len(w.held)+len(p) <= maxHeld {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if !w.made {
		w.begin(p)
	}
	w.body(p)
	return len(p), w.err
}

// begin makes the header of an answer of which this is not the end, and lets out
// what was held back for it.
func (w *response) begin(p []byte) {
	const sniffed = 512
	first := w.held
	if n := min(len(p), sniffed-len(first)); n > 0 && !w.typed {
		first = append(first, p[:n]...) // beside what is held, not to it
	}
	w.makeHeader(first, false)
	w.body(w.held)
	w.held = w.held[:0]
}

// body puts a part of the body on its way.
func (w *response) body(p []byte) {
	if w.head || len(p) == 0 {
		return
	}
	if w.chunked {
		w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
	}
	if len(w.out)+len(p) <= cap(w.out) {
		w.out = append(w.out, p...)
	} else {
		w.flush()
		w.write(p)
	}
	if w.chunked {
		w.out = append(w.out, "\r\n"...)
	}
}

// Flush is what [http.Flusher] wants.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is what [http.ResponseController] wants.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.made {
		w.begin(nil)
	}
	w.flush()
	return w.err
}

// SetReadDeadline is what [http.ResponseController] wants.
func (w *response) SetReadDeadline(t time.Time) error { return w.c.setReadDeadline(t) }

// finish writes the rest and reports whether the answer went out whole.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.made {
		w.makeHeader(w.held, true)
		w.body(w.held)
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
	w.flush()
	short := w.length >= 0 && w.written != w.length && !w.head && bodyAllowed(w.status)
	w.drop()
	return w.err == nil && !short
}

// drop gives the buffer back, whatever is in it.
func (w *response) drop() {
	if cap(w.out) == bufferSize {
		w.c.s.buffers.Put((*[bufferSize]byte)(w.out[:bufferSize]))
	}
	w.out = nil
}

func (w *response) flush() {
	w.write(w.out)
	w.out = w.out[:0]
}

func (w *response) write(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	w.err = w.c.write(p)
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// makeHeader makes the rest of the header. body is what is known of the
// body, all of it if whole.
func (w *response) makeHeader(body []byte, whole bool) {
	w.made = true
	w.frame(len(body), whole)
	if !w.typed && len(body) > 0 && bodyAllowed(w.status) {
		w.out = append(append(append(w.out, "Content-Type: "...), http.DetectContentType(body)...), "\r\n"...)
	}
	if !w.dated {
		w.out = append(append(append(w.out, "Date: "...), w.c.s.dateAt(time.Now())...), "\r\n"...)
	}
	switch {
	case w.chunked:
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	case w.length >= 0 && bodyAllowed(w.status):
		w.out = append(strconv.AppendInt(append(w.out, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	if w.closing {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

// frame decides how the client finds the end of the body.
func (w *response) frame(n int, whole bool) {
	switch {
	case w.length >= 0 || !bodyAllowed(w.status):
	case whole && (!w.head || n > 0):
		w.length = int64(n)
	case !w.head:
		w.chunked = true
	}
}

// fields writes the handler's fields in the order of their names, but for those
// that frame the message.
func (w *response) fields() {
	for name := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer":
		case "Content-Type":
			if w.status != http.StatusNotModified { // as net/http, RFC 9110, section 15.4.5
				w.names = append(w.names, name)
			}
		default:
			w.names = append(w.names, name)
		}
	}
	slices.Sort(w.names)
	for _, name := range w.names {
		for _, value := range w.header[name] {
			w.field(name, value)
		}
	}
}

func (w *response) field(name, value string) {
	if isToken(name) {
		w.out = append(append(append(append(w.out, name...), ": "...), oneLine(value)...), "\r\n"...)
	}
}

// isToken: what a field's name may be (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		case strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

// oneLine is the value without what could end the line.
func oneLine(value string) string {
	harmless := true
	for i := range len(value) {
		harmless = harmless && value[i] >= ' '
	}
	if harmless {
		return value
	}
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(value)
}

func hasClose(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, "close") })
}
