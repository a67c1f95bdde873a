package forward

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/body"
)

// bufferSize is how many bytes of a response body are copied at once.
const bufferSize = 32 << 10

// response is a response of the upstream. One of net/http's transport has its fields in header.
type response struct {
	client.Response
	header http.Header
}

// values returns the values of a field, whose name is in canonical form.
func (res *response) values(name string) []string {
	values := res.header[name]
	for _, field := range res.Fields {
		if field.Name == name {
			values = append(values, field.Value)
		}
	}
	return values
}

// list returns the fields as a list. Those of a header are sorted by name.
func (res *response) list() []client.Field {
	if res.header == nil {
		return res.Fields
	}
	const added = 3 // for further fields
	fields := make([]client.Field, 0, len(res.header)+added)
	for name, values := range res.header {
		for _, value := range values {
			fields = append(fields, client.Field{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(fields, func(a, b client.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// writeResponse copies the upstream's response to w, without the fields that its Connection
// fields list, and with Vary and the request id. After an error the caller must abort the
// connection, so that the client detects that the response is incomplete. The error is a
// *refusal.Error when the client stopped reading.
func (f *Forwarder) writeResponse(w http.ResponseWriter, listed headers.Options, out *outboundRequest) (int64, error) {
	res := &out.res
	if fast := fastWriterOf(w); fast != nil && res.isComplete() {
		if out.isInMemory() {
			fast.ReuseRequest()
		}
		fast.WriteFields(res.Status, res.Length, f.responseFields(res.list(), listed, out.metadata))
		return f.writeBody(w, &res.Response, out.body)
	}
	h := w.Header()
	// net/http would guess the type of a response without one.
	h["Content-Type"] = nil
	res.setFields(h, listed)
	h[headers.Vary] = f.vary.in(h[headers.Vary], out.metadata.SignaturesRead)
	h[headers.RequestID] = []string{out.metadata.RequestID}
	w.WriteHeader(res.Status)
	return f.copyBody(w, &res.Response, out.body)
}

// setFields sets the fields that do not concern the response's connection.
func (res *response) setFields(h http.Header, listed headers.Options) {
	for name, values := range res.header {
		switch {
		case !isEndToEnd(name, listed):
		case len(h[name]) > 0:
			h[name] = append(h[name], values...)
		default:
			h[name] = values
		}
	}
	values := make([]string, len(res.Fields)) // one allocation for all names with a single value
	for i, field := range res.Fields {
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

// writeBody writes what has arrived of the body together with the header, and copies the rest.
func (f *Forwarder) writeBody(w http.ResponseWriter, res *client.Response, request *body.Body) (int64, error) {
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
func (f *Forwarder) copyBody(w http.ResponseWriter, res *client.Response, request *body.Body) (written int64, err error) {
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
