package public

import (
	"net/http"

	"github.com/certgate/certgate/internal/core/headers"
)

// body reads the content for the gate, whole, and keeps it for the upstream; nil
// when no signature could speak of it.
func (s *surface) body(w http.ResponseWriter, r *http.Request) func(client string) ([]byte, error) {
	if len(r.Header[headers.SignatureInput]) == 0 {
		return nil
	}
	return func(client string) ([]byte, error) { return s.Forwarder.Hold(w, r, client) }
}
