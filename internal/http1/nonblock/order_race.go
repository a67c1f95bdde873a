//go:build linux && race

package nonblock

import "syscall"

// The race detector learns from syscall.Read and syscall.Write that what happened before a
// write happened before the read that follows it, and learns nothing from raw system calls.
// So in its builds a call without effect of the same function goes with each of them. Without
// it the detector would report variables that a test shares with a handler and reads after the
// response.

// afterRead follows a successful read. Reading nothing from a socket succeeds, and leaves its
// bytes and its error in place.
func afterRead(fd uintptr) { _, _ = syscall.Read(int(fd), nil) }

// beforeWrite precedes a write. There is no descriptor -1, so the socket is left alone.
func beforeWrite() { _, _ = syscall.Write(-1, nil) }
