package agent

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// bindUnix binds a socket with [socketMode]. It sets the mode of the socket before bind,
// because Linux gives the file the same mode.
func bindUnix(ctx context.Context, path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }), err)
	}}
	return lc.Listen(ctx, "unix", path)
}
