//go:build !linux

package nonblock

import "errors"

// Read returns [errors.ErrUnsupported]: only the fast path reads in this way, and it needs Linux.
func Read(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

// Write returns [errors.ErrUnsupported], as Read does.
func Write(uintptr, []byte, []byte) (int, error) { return 0, errors.ErrUnsupported }
