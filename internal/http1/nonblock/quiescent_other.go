//go:build !unix

package nonblock

// Quiescent returns false: this system cannot inspect a socket without reading from it.
func Quiescent(uintptr) bool { return false }
