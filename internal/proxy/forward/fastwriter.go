package forward

import (
	"net/http"
	"slices"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/http1/client"
)

// fastWriter is a ResponseWriter that accepts all fields of a response at once, without a
// map. The ResponseWriter of http1/server implements it. The body is still written with the
// outermost ResponseWriter: a framework that wraps the fastWriter has to know that the
// response has begun, or it would append an error page when a handler panics.
type fastWriter interface {
	http.ResponseWriter
	// WriteFields does what WriteHeader does, and adds the fields to those of Header. The
	// body has the given length in bytes. The fields include a Date, and none that frames
	// the message or concerns the connection. The slice may be changed afterwards.
	WriteFields(status int, length int64, fields []client.Field)
	// ReuseRequest lets the server use the memory of the request for another one after the
	// handler has returned.
	ReuseRequest()
}

// fastWriterOf returns the writer that w wraps, or w if it wraps none, if that is a fastWriter.
func fastWriterOf(w http.ResponseWriter) fastWriter {
	if outer, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		w = outer.Unwrap()
	}
	fast, _ := w.(fastWriter)
	return fast
}

// isComplete reports whether the fields of the response make a complete header: the length
// is known and there is a date. net/http sends no Content-Type with a 304, so such a
// response goes through the header map.
func (res *response) isComplete() bool {
	return res.Length >= 0 && res.Status != http.StatusNotModified && (len(res.header["Date"]) > 0 ||
		slices.ContainsFunc(res.Fields, func(field client.Field) bool { return field.Name == "Date" }))
}

// responseFields returns the fields of the response to the client. It reuses the memory of
// fields.
func (f *Forwarder) responseFields(fields []client.Field, listed headers.Options, metadata *Metadata) []client.Field {
	var vary []string
	n := 0
	for i := range fields {
		switch field := &fields[i]; {
		case field.Name == headers.ContentLength || field.Name == headers.RequestID || !isEndToEnd(field.Name, listed):
		case field.Name == headers.Vary:
			vary = append(vary, field.Value)
		default:
			fields[n] = *field
			n++
		}
	}
	return append(fields[:n],
		client.Field{Name: headers.Vary, Value: f.vary.merge(vary, metadata.SignaturesRead)},
		client.Field{Name: headers.RequestID, Value: metadata.RequestID})
}
