//go:build !linux

package server

import (
	"net/http"
	"time"
)

// Server is the net/http server that [New] was given.
type Server struct {
	*http.Server

	// Intern is not used, because net/http copies the fields itself.
	Intern func(value []byte) (string, bool)
}

// New returns fallback without a fast path, because that needs Linux. The write timeout of
// fallback's connections is that of their framing.Listener.
func New(fallback *http.Server, _ time.Duration) *Server { return &Server{Server: fallback} }
