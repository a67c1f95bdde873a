//go:build !unix

package client

import "errors"

// Quiescent returns false: this system cannot inspect a socket without reading from it.
func Quiescent(uintptr) bool { return false }

func readSocket(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeSocket(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
