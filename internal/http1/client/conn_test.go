package client

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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cn, err := newConn(here, &Client{})
	if err != nil {
		t.Fatal(err)
	}
	_ = here.SetDeadline(past()) // what cancelWith did
	cn.watch = watch{ctx: ctx}
	cn.unhurry()
	go l.Close() // so that a wait would end in another error
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want a deadline that has passed", err)
	}
}
