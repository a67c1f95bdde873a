package forward

import (
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/denial"
)

// answer copies the upstream's answer. Its error is a *denial.Error: an answer
// that broke off. The caller must then abort the connection, or the client
// would take a part for the whole.
func answer(w http.ResponseWriter, res *http.Response, requestID string) (int64, error) {
	dropHopByHop(res.Header)
	h := w.Header()
	for name, values := range res.Header {
		h[name] = values
	}
	h[headerRequestID] = []string{requestID}
	w.WriteHeader(res.StatusCode)
	return copyBody(w, res)
}

func copyBody(w http.ResponseWriter, res *http.Response) (written int64, err error) {
	// An answer of unknown length may be a stream of events: each part goes
	// out when it comes.
	streaming := res.ContentLength < 0
	control := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, readErr := res.Body.Read(buf)
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err == nil && streaming {
				err = control.Flush()
			}
			if err != nil {
				return written, denial.New(denial.ClientClosed, "the client stopped reading: %v", err)
			}
		}
		if readErr == io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself
			return written, nil
		}
		if readErr != nil {
			return written, denial.New(denial.UpstreamFailed, "the answer broke off: %v", readErr)
		}
	}
}
