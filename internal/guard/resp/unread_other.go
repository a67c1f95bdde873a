//go:build !unix

package resp

import "syscall"

// hasNoUnreadBytes returns false, because this system cannot peek at a socket without reading
// it. Every command therefore uses a new connection.
func hasNoUnreadBytes(syscall.RawConn) bool { return false }
