package client_test

import (
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/http1/client"
)

// TestWaitHoldsNoBuffer: a request that waits longer than the first deadline for its response
// holds no buffer meanwhile. After that deadline the socket is read once, without success.
func TestWaitHoldsNoBuffer(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = syscall.Close(fds[0]), syscall.Close(fds[1]) }()
	if n := client.BufferAfterEmptyRead(uintptr(fds[0])); n != 0 {
		t.Errorf("a buffer of %d bytes, want none", n)
	}
}
