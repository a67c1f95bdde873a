package forward

import (
	"fmt"
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
)

// bufferSize is how much of an answer is copied at once.
const bufferSize = 32 << 10

// answer copies the upstream's answer without the fields that its Connection fields
// list, and with Vary. After an error the caller must abort the connection, or the
// client would take a part for the whole. The error is a *denial.Error when the client
// stopped reading.
func (f *Forwarder) answer(w http.ResponseWriter, a client.Answer, listed headers.Options, m *message) (int64, error) {
	if m.writer != nil && canWriteFast(a) {
		return f.writeFast(w, m, a, listed)
	}
	h := w.Header()
	// An upstream that says no type gets none: net/http would guess one.
	h["Content-Type"] = nil
	setFields(h, a.Fields, listed)
	h[headers.Vary] = f.vary.in(h[headers.Vary], m.hop.SignaturesRead)
	h[headers.RequestID] = []string{m.hop.RequestID}
	w.WriteHeader(a.Status)
	return f.copyBody(w, a)
}

// setFields sets those fields of an answer that do not concern the connection
// that it came on.
func setFields(h http.Header, fields []client.Field, listed headers.Options) {
	values := make([]string, len(fields)) // one backing array for the usual single values
	for i, field := range fields {
		switch {
		case !passesBack(field.Name, listed):
		case len(h[field.Name]) > 0:
			h[field.Name] = append(h[field.Name], field.Value)
		default:
			values[i] = field.Value
			h[field.Name] = values[i : i+1 : i+1]
		}
	}
}

// passesBack reports whether an answer's field may go on to the client.
func passesBack(name string, listed headers.Options) bool {
	return !headers.IsHopByHop(name) && !listed.List(name)
}

// listedIn returns the options of an answer's Connection fields.
func listedIn(fields []client.Field) (headers.Options, error) {
	var values []string
	for _, field := range fields {
		if field.Name == headers.Connection {
			values = append(values, field.Value)
		}
	}
	return headers.ParseConnection(values)
}

func (f *Forwarder) copyBody(w http.ResponseWriter, a client.Answer) (written int64, err error) {
	// An answer of unknown length may be a stream of events: the header goes out
	// at once, and each part when it comes.
	streaming := a.Length < 0
	if streaming {
		_ = http.NewResponseController(w).Flush() // a client that is gone is found by Write
	}
	pooled, ok := f.buffers.Get().(*[bufferSize]byte)
	if !ok { // the pool has nothing yet
		pooled = new([bufferSize]byte)
	}
	defer f.buffers.Put(pooled)
	buf := pooled[:]
	for {
		n, readErr := a.Body.Read(buf)
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err == nil && streaming {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return written, stoppedReading(err)
			}
		}
		if readErr == io.EOF {
			return written, nil
		}
		if readErr != nil {
			return written, fmt.Errorf("the answer broke off: %w", readErr)
		}
	}
}

func stoppedReading(err error) error {
	return refusal.New(refusal.ClientClosed, "the client stopped reading: %v", err)
}
