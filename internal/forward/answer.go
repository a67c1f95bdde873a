package forward

import (
	"fmt"
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/denial"
)

// bufferSize is how much of an answer is copied at once.
const bufferSize = 32 << 10

// answer copies the upstream's answer. After an error the caller must abort the
// connection, or the client would take a part for the whole. The error is a
// *denial.Error when the client stopped reading.
func (f *Forwarder) answer(w http.ResponseWriter, res *http.Response, requestID string) (int64, error) {
	dropListed(res.Header, res.Header["Connection"])
	h := w.Header()
	// An upstream that says no type gets none: net/http would guess one.
	h["Content-Type"] = nil
	for name, values := range res.Header {
		if !isHopByHop(name) {
			h[name] = values
		}
	}
	h[headerRequestID] = []string{requestID}
	w.WriteHeader(res.StatusCode)
	return f.copyBody(w, res)
}

func (f *Forwarder) copyBody(w http.ResponseWriter, res *http.Response) (written int64, err error) {
	// An answer of unknown length may be a stream of events: the header goes out
	// at once, and each part when it comes.
	streaming := res.ContentLength < 0
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
		n, readErr := res.Body.Read(buf)
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err == nil && streaming {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return written, denial.New(denial.ClientClosed, "the client stopped reading: %v", err)
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
