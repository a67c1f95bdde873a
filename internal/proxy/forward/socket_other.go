//go:build !unix

package forward

// canInspect reports that [socket.quiescent] cannot inspect a socket without reading from
// it. No connection is used for a second request then.
const canInspect = false

func (s *socket) quiescent() bool { return false }
