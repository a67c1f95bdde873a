//go:build unix

package client

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

// readSocket reads the bytes that have arrived, without waiting.
func readSocket(fd uintptr, p []byte) (int, error) { return retryInterrupted(syscall.Read, fd, p) }

// writeSocket writes the bytes that the kernel accepts, without waiting.
func writeSocket(fd uintptr, p []byte) (int, error) { return retryInterrupted(syscall.Write, fd, p) }

func retryInterrupted(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
