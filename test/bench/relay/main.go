//go:build linux

// Command relay copies bytes between each connection and one of its own to the upstream. It
// parses nothing, checks nothing and allocates nothing for a request, so its CPU time is about
// the least that a proxy in Go needs: four system calls and the scheduler. scripts/bench.sh
// compares certgate with it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/certgate/certgate/internal/http1/nonblock"
)

func main() {
	listen := flag.String("listen", "", "`address` to listen on")
	upstream := flag.String("upstream", "", "`address` to forward to, as host:port")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "relay:", serve(*listen, *upstream))
	os.Exit(1)
}

// serve relays until an error.
func serve(listen, upstream string) error {
	local, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return err
	}
	remote, err := net.ResolveTCPAddr("tcp", upstream)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", local)
	if err != nil {
		return err
	}
	for {
		client, err := listener.AcceptTCP()
		if err != nil {
			return err
		}
		go func() {
			if err := relay(client, remote); err != nil {
				fmt.Fprintln(os.Stderr, "relay:", err)
			}
		}()
	}
}

// relay copies in both directions until one side ends or fails.
func relay(client *net.TCPConn, address *net.TCPAddr) error {
	upstream, err := net.DialTCP("tcp", nil, address)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	responses := make(chan error, 1)
	go func() { responses <- transfer(client, upstream) }()
	return errors.Join(transfer(upstream, client), <-responses)
}

// transfer copies what arrives on from to to, and ends both connections afterwards. As in
// internal/http1/server, all of it happens in one call of RawConn.Read, so no system call is
// needed to find out that nothing has arrived.
func transfer(to, from *net.TCPConn) error {
	source, err := from.SyscallConn()
	if err != nil {
		return err
	}
	target, err := to.SyscallConn()
	if err != nil {
		return err
	}
	buffer, sent := make([]byte, 64<<10), 0
	writable := func(fd uintptr) bool {
		n, _ := nonblock.Write(fd, buffer[:sent], nil)
		sent -= n
		return true
	}
	waitErr := source.Read(func(fd uintptr) bool {
		for {
			n, readErr := nonblock.Read(fd, buffer)
			switch {
			case errors.Is(readErr, syscall.EAGAIN):
				return false
			case n == 0:
				err = readErr
				return true
			}
			sent = n
			if err = target.Write(writable); err == nil && sent > 0 {
				_, err = to.Write(buffer[n-sent : n]) // waits until the connection accepts the rest
			}
			if err != nil {
				return true
			}
			if n < len(buffer) {
				return false
			}
		}
	})
	_, _ = to.CloseWrite(), from.CloseRead()
	return errors.Join(err, waitErr)
}
