//go:build unix

package client

import (
	"errors"
	"syscall"
)

// Silent reports whether the connection is open and the kernel holds no unread bytes for
// it. It consumes nothing.
func Silent(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN)
}

// readSocket reads what the kernel holds, without waiting.
func readSocket(fd uintptr, p []byte) (int, error) { return retryInterrupted(syscall.Read, fd, p) }

// writeSocket writes what the kernel accepts, without waiting.
func writeSocket(fd uintptr, p []byte) (int, error) { return retryInterrupted(syscall.Write, fd, p) }

func retryInterrupted(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
