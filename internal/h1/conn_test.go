package h1

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
)

// A cancellation that comes while the header's deadline is taken off is not
// lost: nothing waits on the connection any more.
func TestUnhurryKeepsACancellation(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cn := newConn(here, &pool{}, 1)
	_ = here.SetDeadline(past()) // what cancelWith did
	cn.unhurry(ctx)
	go there.Close() // so that a wait would end in another error
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want a deadline that has passed", err)
	}
}
