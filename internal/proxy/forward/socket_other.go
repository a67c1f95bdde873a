//go:build !unix

package forward

// canInspect is false where [socket.silent] cannot look at a socket without reading it.
// Then no connection is used for a second request.
const canInspect = false

func (s *socket) silent() bool { return false }
