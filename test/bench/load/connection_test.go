//go:build linux

package main

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
)

// TestDialDuringSignals checks that signals, such as those of Go's scheduler, do not end a
// connect.
func TestDialDuringSignals(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = syscall.Kill(os.Getpid(), syscall.SIGURG)
				}
			}
		})
	}
	to := netip.MustParseAddrPort(l.Addr().String())
	for range 300 {
		var c connection
		if err := c.dial(netip.MustParseAddrPort("127.0.0.1:0"), to); err != nil {
			t.Error(err)
			break
		}
		_ = syscall.Close(c.fd)
	}
	close(done)
	_ = l.Close()
	others.Wait()
}
