//go:build unix

package replay

import (
	"errors"
	"syscall"
)

// isSilent reports whether the socket is open and the kernel holds no bytes for it.
func isSilent(raw syscall.RawConn) bool {
	silent := false
	err := raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && silent
}
