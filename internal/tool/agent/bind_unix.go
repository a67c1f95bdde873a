//go:build unix && !linux

package agent

import (
	"context"
	"net"
	"syscall"
)

// bindUnix binds a socket with [socketMode]. Outside of Linux the mode of the file comes
// from the umask, which belongs to the whole process: a file that another goroutine
// creates meanwhile gets a stricter mode, never a wider one.
func bindUnix(ctx context.Context, path string) (net.Listener, error) {
	defer syscall.Umask(syscall.Umask(0o777 &^ socketMode))
	var lc net.ListenConfig
	return lc.Listen(ctx, "unix", path)
}
