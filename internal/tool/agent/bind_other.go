//go:build !unix

package agent

import (
	"context"
	"fmt"
	"net"
)

// bindUnix refuses, because the files of this system have no mode that keeps other users
// from connecting.
func bindUnix(_ context.Context, path string) (net.Listener, error) {
	return nil, fmt.Errorf("want a loopback address, found the socket %q: this system does not restrict sockets to a user", path)
}
