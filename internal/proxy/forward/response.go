package forward

import (
	"fmt"
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/body"
)

// bufferSize is how many bytes of a response body are copied at once.
const bufferSize = 32 << 10

// writeResponse copies the upstream's response to w, without the fields that its Connection
// fields list, and with Vary and the request id. After an error the caller must abort the
// connection, so that the client detects that the response is incomplete. The error is a
// *refusal.Error when the client stopped reading.
func (f *Forwarder) writeResponse(w http.ResponseWriter, res client.Response, listed headers.Options, out *outboundRequest) (int64, error) {
	if fast := fastWriterOf(w); fast != nil && isComplete(res) {
		fast.WriteFields(res.Status, res.Length, f.responseFields(res.Fields, listed, &out.metadata))
		return f.writeBody(w, res, out.body)
	}
	h := w.Header()
	// net/http would guess the type of a response without one.
	h["Content-Type"] = nil
	setFields(h, res.Fields, listed)
	h[headers.Vary] = f.vary.in(h[headers.Vary], out.metadata.SignaturesRead)
	h[headers.RequestID] = []string{out.metadata.RequestID}
	w.WriteHeader(res.Status)
	return f.copyBody(w, res, out.body)
}

// setFields sets the fields of a response that do not concern its connection.
func setFields(h http.Header, fields []client.Field, listed headers.Options) {
	values := make([]string, len(fields)) // one allocation for all names with a single value
	for i, field := range fields {
		switch {
		case !isEndToEnd(field.Name, listed):
		case len(h[field.Name]) > 0:
			h[field.Name] = append(h[field.Name], field.Value)
		default:
			values[i] = field.Value
			h[field.Name] = values[i : i+1 : i+1]
		}
	}
}

// isEndToEnd reports whether a field of a response is forwarded to the client.
func isEndToEnd(name string, listed headers.Options) bool {
	return !headers.IsHopByHop(name) && !listed.List(name)
}

// connectionOptions returns the names that the Connection fields of a response list.
func connectionOptions(fields []client.Field) (headers.Options, error) {
	var values []string
	for _, field := range fields {
		if field.Name == headers.Connection {
			values = append(values, field.Value)
		}
	}
	return headers.ParseConnection(values)
}

// writeBody writes what has arrived of the body together with the header, and copies the rest.
func (f *Forwarder) writeBody(w http.ResponseWriter, res client.Response, request *body.Body) (int64, error) {
	content, whole := res.Buffered()
	n, err := writePart(w, content, !whole && !request.Complete())
	if err != nil {
		return int64(n), clientClosed(err)
	}
	if whole {
		return int64(n), nil
	}
	rest, err := f.copyBody(w, res, request)
	return int64(n) + rest, err
}

// copyBody copies the body. A response of unknown length may be a stream of events, so its
// header and each part are flushed at once. So is the response to a request whose body has
// not arrived completely, because the client may wait for it before it sends the rest.
func (f *Forwarder) copyBody(w http.ResponseWriter, res client.Response, request *body.Body) (written int64, err error) {
	streaming := res.Length < 0
	if streaming || !request.Complete() {
		_ = http.NewResponseController(w).Flush() // Write returns an error if the client has closed the connection
	}
	pooled, ok := f.buffers.Get().(*[bufferSize]byte)
	if !ok { // the pool is empty
		pooled = new([bufferSize]byte)
	}
	defer f.buffers.Put(pooled)
	for {
		n, readErr := res.Body.Read(pooled[:])
		m, err := writePart(w, pooled[:n], streaming || !request.Complete())
		written += int64(m)
		switch {
		case err != nil:
			return written, clientClosed(err)
		case readErr == io.EOF:
			return written, nil
		case readErr != nil:
			return written, fmt.Errorf("the response is incomplete: %w", readErr)
		}
	}
}

func writePart(w http.ResponseWriter, p []byte, flush bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := w.Write(p)
	if err == nil && flush {
		err = http.NewResponseController(w).Flush()
	}
	return n, err
}

func clientClosed(err error) error {
	return refusal.New(refusal.ClientClosed, "the client stopped reading: %v", err)
}
