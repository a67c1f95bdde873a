// Package nonblock reads from and writes to sockets that do not block, with fewer steps than
// package syscall. It calls recv and send, because read and write also do what files need, which
// takes 50 ns more.
//
// syscall.Read prepares for a call that blocks: it lets Go's scheduler give the processor to
// another thread, and wakes the runtime's monitor thread if the process was idle. A call on a
// socket that does not block returns within microseconds, so these functions leave that out.
// They must not be used with a descriptor that can block.
package nonblock

import (
	"syscall"
	"unsafe"
)

// Read reads the bytes that have arrived, without waiting. The error is EAGAIN if there are
// none. At the end of the stream it returns 0 without an error. p must not be empty.
func Read(fd uintptr, p []byte) (int, error) {
	n, err := call(syscall.SYS_RECVFROM, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), 0)
	if err == nil {
		afterRead(fd)
	}
	return n, err
}

// Write writes the bytes that the kernel accepts, without waiting: those of p, and then those
// of q, with one call. The error is EAGAIN if it accepts none. They must not both be empty.
func Write(fd uintptr, p, q []byte) (int, error) {
	beforeWrite()
	if len(q) == 0 {
		return call(syscall.SYS_SENDTO, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), syscall.MSG_NOSIGNAL)
	}
	parts := [...]syscall.Iovec{{Base: unsafe.SliceData(p), Len: uint64(len(p))}, {Base: &q[0], Len: uint64(len(q))}}
	return call(syscall.SYS_WRITEV, fd, unsafe.Pointer(&parts), len(parts), 0)
}

// Peek copies the first bytes that have arrived, without waiting and without removing them from
// the socket. Otherwise it behaves as Read.
func Peek(fd uintptr, p []byte) (int, error) {
	const flags = syscall.MSG_PEEK | syscall.MSG_DONTWAIT
	return call(syscall.SYS_RECVFROM, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), flags)
}

// Quiescent reports whether the connection is open and has no bytes to read. It reads no
// bytes.
func Quiescent(fd uintptr) bool {
	var b [1]byte
	_, err := Peek(fd, b[:])
	return err == syscall.EAGAIN //nolint:errorlint // never wrapped, and called for each request
}

// call makes a system call that takes a descriptor, the start and the length of an array, and
// perhaps flags. It repeats the call when a signal has interrupted it.
func call(number, fd uintptr, start unsafe.Pointer, length int, flags uintptr) (int, error) {
	for {
		n, _, err := syscall.RawSyscall6(number, fd, uintptr(start), uintptr(length), flags, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}
