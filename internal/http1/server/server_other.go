//go:build !linux

package server

import (
	"net/http"
	"time"
)

// Server is the net/http server that [New] was given.
type Server struct{ *http.Server }

// New returns rest without a fast path, because that needs Linux. The write timeout of
// rest's connections is that of their framing.Listener.
func New(rest *http.Server, _ time.Duration) *Server { return &Server{rest} }
