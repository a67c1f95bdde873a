//go:build linux

package server

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/http1/syntax"
)

// maxBuffered is how much of a response without Content-Length is buffered, in bytes. If the
// response ends before, it gets a Content-Length. net/http has the same bound.
const maxBuffered = 2048

// maxDiscarded is how much of a body, in bytes, may be unread when the response begins, so
// that the connection stays open. net/http has the same bound.
const maxDiscarded = 256 << 10

// response is the ResponseWriter of a connection. It is reset for each request.
type response struct {
	c      *conn
	served int // responses on this connection, including this one

	header     http.Header
	isHead     bool  // the request was a HEAD
	status     int   // 0: not written yet
	length     int64 // of the body; -1: unknown
	written    int64
	hasType    bool   // Content-Type is set, or must not be guessed
	hasDate    bool   // the handler has set Date, or has suppressed it
	buffered   []byte // body, before the header is complete
	headerDone bool   // out has the complete header, or it was written
	chunked    bool
	closing    bool // the connection is closed after this response
	err        error
	out        []byte // not written yet
	names      []string
	reusable   bool // see ReuseRequest
}

// reset prepares w for the response to a request, and keeps the memory of the previous one.
func (w *response) reset(c *conn, method string) {
	if len(w.header) > 0 {
		clear(w.header)
	}
	if w.header == nil {
		w.header = make(http.Header)
	}
	*w = response{c: c, served: w.served + 1, header: w.header, isHead: method == http.MethodHead, length: -1, buffered: w.buffered[:0], names: w.names[:0]}
}

// Header implements [http.ResponseWriter].
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. Later changes of the header have no effect.
// Informational responses (1xx) are not sent.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < http.StatusOK {
		return
	}
	w.status = status
	w.readLength()
	h := w.header
	_, isSet := h["Content-Type"]
	w.hasType = isSet || h.Get("Content-Encoding") != ""
	_, w.hasDate = h["Date"]
	w.writeStatusLine()
}

// writeStatusLine writes the status line and the handler's fields.
func (w *response) writeStatusLine() {
	w.closing = httpguts.HeaderValuesContainsToken(w.header["Connection"], "close") || w.c.s.closed.Load() || w.c.unread.Load() >= maxDiscarded
	w.out = append(strconv.AppendInt(append(w.c.s.buffer()[:0], "HTTP/1.1 "...), int64(w.status), 10), ' ')
	w.out = append(append(w.out, http.StatusText(w.status)...), "\r\n"...)
	if len(w.header) > 0 {
		w.writeHeaderFields()
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
	w.status, w.length, w.hasType, w.hasDate = status, length, true, true
	w.writeStatusLine()
	for _, field := range fields {
		w.writeField(field.Name, field.Value)
	}
}

// ReuseRequest lets the server use the memory of the request, its URL, header and body for another
// request, of any client, after the handler has returned. The handler must not call it if
// something may use one of them later. Strings from them stay valid.
func (w *response) ReuseRequest() { w.reusable = true }

// readLength takes the length from the handler's Content-Length, and drops an invalid one.
func (w *response) readLength() {
	if v := w.header["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseUint(v[0], 10, 63)
		if err != nil || len(v) > 1 {
			delete(w.header, "Content-Length")
			return
		}
		w.length = int64(n)
	}
}

// Write implements [http.ResponseWriter].
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK) // unless it has a status
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p)) // counted even when refused, because the connection is closed then
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if !w.headerDone && (w.length < 0 || !w.hasType) && len(w.buffered)+len(p) <= maxBuffered {
		w.buffered = append(w.buffered, p...)
		return len(p), nil
	}
	if !w.headerDone {
		w.startBody(p)
	}
	w.writeBody(p)
	return len(p), w.err
}

// startBody completes the header of a response that does not end here, and writes the
// buffered part of the body.
func (w *response) startBody(p []byte) {
	const sniffed = 512
	first := w.buffered
	if n := min(len(p), sniffed-len(first)); n > 0 && !w.hasType {
		first = append(first, p[:n]...) // a copy: w.buffered keeps its length
	}
	w.finishHeader(first, false)
	w.writeBody(w.buffered)
	w.buffered = w.buffered[:0]
}

// writeBody writes a part of the body.
func (w *response) writeBody(p []byte) {
	if w.isHead || len(p) == 0 {
		return
	}
	if w.chunked {
		w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
	}
	if len(w.out)+len(p) <= cap(w.out) {
		w.out = append(w.out, p...)
	} else {
		w.write(p)
	}
	if w.chunked {
		w.out = append(w.out, "\r\n"...)
	}
}

// Flush implements [http.Flusher].
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is called by [http.ResponseController].
func (w *response) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if !w.headerDone {
		w.startBody(nil)
	}
	w.write(nil)
	return w.err
}

// SetReadDeadline is called by [http.ResponseController].
func (w *response) SetReadDeadline(t time.Time) error { return w.c.overrideReadDeadline(t) }

// finish writes the rest of the response and reports whether all of it was sent.
func (w *response) finish() bool {
	w.WriteHeader(http.StatusOK)
	if !w.headerDone {
		w.finishHeader(w.buffered, true)
		w.writeBody(w.buffered)
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
	w.write(nil)
	short := w.length >= 0 && w.written != w.length && !w.isHead && bodyAllowed(w.status)
	w.release()
	return w.err == nil && !short
}

// release returns the buffer to the pool and drops its content.
func (w *response) release() {
	if cap(w.out) == bufferSize {
		w.c.s.buffers.Put((*[bufferSize]byte)(w.out[:bufferSize]))
	}
	w.out = nil
}

// write writes what has not been written yet, and then p.
func (w *response) write(p []byte) {
	if w.err == nil && len(w.out)+len(p) > 0 {
		w.err = w.c.write(w.out, p)
	}
	w.out = w.out[:0]
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// finishHeader writes the rest of the header. body is the beginning of the body, or all of it
// if whole.
func (w *response) finishHeader(body []byte, whole bool) {
	w.headerDone = true
	switch {
	case w.length >= 0 || !bodyAllowed(w.status):
	case whole && (!w.isHead || len(body) > 0):
		w.length = int64(len(body))
	case !w.isHead:
		w.chunked = true
	}
	if !w.hasType && len(body) > 0 && bodyAllowed(w.status) {
		w.out = append(append(append(w.out, "Content-Type: "...), http.DetectContentType(body)...), "\r\n"...)
	}
	if !w.hasDate {
		w.out = append(time.Now().UTC().AppendFormat(append(w.out, "Date: "...), http.TimeFormat), "\r\n"...)
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

// writeHeaderFields writes the handler's fields in the order of their names, except those that
// frame the message.
func (w *response) writeHeaderFields() {
	w.names = slices.AppendSeq(w.names, maps.Keys(w.header))
	slices.Sort(w.names)
	for _, name := range w.names {
		switch {
		case name == "Content-Length", name == "Transfer-Encoding", name == "Connection", name == "Trailer":
		case name == "Content-Type" && w.status == http.StatusNotModified: // as in net/http, RFC 9110, section 15.4.5
		default:
			for _, value := range w.header[name] {
				w.writeField(name, value)
			}
		}
	}
}

func (w *response) writeField(name, value string) {
	if httpguts.ValidHeaderFieldName(name) {
		w.out = append(append(append(append(w.out, name...), ": "...), singleLine(value)...), "\r\n"...)
	}
}

// singleLine returns the value with characters that could end the line replaced by spaces.
func singleLine(value string) string {
	if syntax.IsFieldValue(value) {
		return value
	}
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(value)
}
