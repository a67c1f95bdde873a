//go:build linux

package nonblock_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

// sockets returns the two ends of a connection. Both do not block.
func sockets(t *testing.T) (a, b uintptr) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = syscall.Close(fds[0]), syscall.Close(fds[1]) })
	return uintptr(fds[0]), uintptr(fds[1])
}

// TestRead: Read and Peek return what has arrived, EAGAIN before it, and 0 at the end.
func TestRead(t *testing.T) {
	a, b := sockets(t)
	var p [8]byte
	expect := func(what string, call func(uintptr, []byte) (int, error), want string, wantErr error) {
		t.Helper()
		n, err := call(b, p[:])
		if string(p[:n]) != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %q, %v; want %q, %v", what, p[:n], err, want, wantErr)
		}
	}
	expect("peek before the first byte", nonblock.Peek, "", syscall.EAGAIN)
	expect("read before the first byte", nonblock.Read, "", syscall.EAGAIN)
	if !nonblock.Quiescent(b) {
		t.Error("an open connection without bytes is not quiescent")
	}
	if n, err := nonblock.Write(a, []byte("hel"), []byte("lo")); n != 5 || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	if nonblock.Quiescent(b) {
		t.Error("a connection with unread bytes is quiescent")
	}
	expect("peek", nonblock.Peek, "hello", nil)
	expect("read", nonblock.Read, "hello", nil)
	if err := syscall.Shutdown(int(a), syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	expect("peek at the end", nonblock.Peek, "", nil)
	expect("read at the end", nonblock.Read, "", nil)
	if nonblock.Quiescent(b) {
		t.Error("a connection that the peer has closed is quiescent")
	}
}

// TestWrite: Write returns how many bytes the kernel has accepted, EAGAIN when it accepts
// none, and another error when the peer has closed.
func TestWrite(t *testing.T) {
	a, b := sockets(t)
	sent, piece := 0, bytes.Repeat([]byte("x"), 100_000)
	for {
		n, err := nonblock.Write(a, piece[:10], piece[10:])
		sent += n
		if errors.Is(err, syscall.EAGAIN) && n == 0 {
			break
		}
		if err != nil || n == 0 {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	received := 0
	for received < sent {
		n, err := nonblock.Read(b, piece)
		if err != nil || n == 0 {
			t.Fatalf("read after %d of %d bytes: %d, %v", received, sent, n, err)
		}
		received += n
	}
	if err := syscall.Shutdown(int(b), syscall.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if n, err := nonblock.Write(a, piece[:10], piece[10:]); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed connection: %d, %v; want 0, EPIPE", n, err)
	}
}

// TestBadDescriptor: an error of the kernel is returned, and not taken for an open connection.
func TestBadDescriptor(t *testing.T) {
	const bad = 1 << 30
	if n, err := nonblock.Read(bad, make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("read: %d, %v; want 0, EBADF", n, err)
	}
	if nonblock.Quiescent(bad) {
		t.Error("no connection is quiescent")
	}
}

// TestOrder: what a goroutine does before a write is done before the read of its bytes, for the
// race detector, too. Only a run with the race detector can fail.
func TestOrder(t *testing.T) {
	a, b := sockets(t)
	shared := 0
	go func() {
		shared = 1
		_, _ = nonblock.Write(a, []byte("x"), nil)
	}()
	for {
		n, err := nonblock.Read(b, make([]byte, 1))
		if n == 1 {
			break
		}
		if !errors.Is(err, syscall.EAGAIN) {
			t.Fatalf("read: %d, %v", n, err)
		}
		time.Sleep(time.Millisecond)
	}
	if shared != 1 {
		t.Error("the read did not see what was done before the write")
	}
}
