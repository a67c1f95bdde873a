package public

import "net/http"

// body reads the content for the gate, whole, and keeps it for the upstream; nil
// when no signature could speak of it.
func (s *surface) body(w http.ResponseWriter, r *http.Request) func(client string) ([]byte, error) {
	if len(r.Header["Signature-Input"]) == 0 {
		return nil
	}
	return func(client string) ([]byte, error) { return s.Forwarder.Hold(w, r, client) }
}
