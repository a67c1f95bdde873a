package client

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
)

// TestCancellationWhileTheDeadlineIsCleared: a context that is done while
// clearHeaderDeadline runs still ends every wait on the connection.
func TestCancellationWhileTheDeadlineIsCleared(t *testing.T) {
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
	_ = here.SetDeadline(expired()) // as startWatch does
	cn.watch = contextWatch{ctx: ctx}
	cn.clearHeaderDeadline()
	go l.Close() // so that the Read ends in another error if the deadline was lost
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want a deadline that has passed", err)
	}
}
