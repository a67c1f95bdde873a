//go:build !unix

package client

import "errors"

// Silent returns false: this system has no way to look at a socket without reading it.
func Silent(uintptr) bool { return false }

func readSocket(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeSocket(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
