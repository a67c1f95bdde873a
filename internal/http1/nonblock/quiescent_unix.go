//go:build unix && !linux

package nonblock

import (
	"errors"
	"syscall"
)

// Quiescent reports whether the connection is open and has no bytes to read. It reads no
// bytes.
func Quiescent(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN)
}
