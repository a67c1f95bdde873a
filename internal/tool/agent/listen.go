package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// socketMode lets nobody but the agent's own user connect.
const socketMode = 0o600

// listen binds the address.
func listen(ctx context.Context, address string, exposed bool) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(ctx, path)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("want an address that can be bound, found %q: %w", address, err)
	case !exposed && !isPrivate(l.Addr()):
		return nil, errors.Join(fmt.Errorf("%w, found %q", ErrExposed, address), l.Close())
	default:
		return l, nil
	}
}

// isPrivate reports whether only this machine can reach the address.
func isPrivate(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// listenUnix makes a socket that is never anybody else's to connect to, not even
// between two system calls: Linux gives the file the mode of the socket.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }), err)
	}}
	return lc.Listen(ctx, "unix", path)
}

// removeStale removes the socket of an agent that was killed: nobody listens there.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil //nolint:nilerr // the bind tells what is wrong with the path
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("want a socket of our own, found that somebody listens on %q", path)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return err
}
