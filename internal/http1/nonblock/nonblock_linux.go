// Package nonblock reads from and writes to non-blocking sockets with fewer steps than package
// syscall.
//
// syscall.Read prepares for a call that blocks: it lets Go's scheduler give the processor to
// another thread, and wakes the runtime's monitor thread if the process was idle. A call on a
// non-blocking socket returns within microseconds, so these functions leave that out. They
// must not be used with a descriptor that can block.
package nonblock

import (
	"errors"
	"syscall"
	"unsafe"
)

// Read reads the bytes that have arrived, without waiting. The error is EAGAIN if there are
// none. At the end of the stream it returns 0 without an error. p must not be empty.
func Read(fd uintptr, p []byte) (int, error) { return call(syscall.SYS_READ, fd, p, 0) }

// Write writes the bytes that the kernel accepts, without waiting. The error is EAGAIN if it
// accepts none. p must not be empty.
func Write(fd uintptr, p []byte) (int, error) { return call(syscall.SYS_WRITE, fd, p, 0) }

// Peek copies the first bytes that have arrived, without waiting and without removing them from
// the socket. Otherwise it behaves as Read.
func Peek(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// Quiescent reports whether the connection is open and has no bytes to read. It reads no
// bytes.
func Quiescent(fd uintptr) bool {
	var b [1]byte
	_, err := Peek(fd, b[:])
	return errors.Is(err, syscall.EAGAIN)
}

// call makes a system call that takes a descriptor, a buffer, and perhaps flags. It repeats
// the call when a signal has interrupted it.
func call(number, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		start := unsafe.Pointer(unsafe.SliceData(p)) //nolint:gosec // RawSyscall6 keeps p alive and in place
		n, _, err := syscall.RawSyscall6(number, fd, uintptr(start), uintptr(len(p)), flags, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, syscall.EAGAIN
		default:
			return 0, err
		}
	}
}
