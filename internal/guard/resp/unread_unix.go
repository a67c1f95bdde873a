//go:build unix

package resp

import (
	"errors"
	"syscall"
)

// hasNoUnreadBytes reports whether the socket is open and the kernel holds no bytes for it.
func hasNoUnreadBytes(raw syscall.RawConn) bool {
	empty := false
	err := raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		empty = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && empty
}
