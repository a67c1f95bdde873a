package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// socketMode lets only the agent's own user connect to a Unix socket.
const socketMode = 0o600

// listen binds the address. It returns an [ErrExposed] if other machines can reach
// the address and exposed is false.
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

// isPrivate reports whether only programs on this machine can reach the address.
func isPrivate(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// ErrOwnAddress is the error of [New] for a target that is the agent's own address.
// The agent would forward every request to itself without end.
var ErrOwnAddress = errors.New("want the address of the gateway, not the agent's own")

// isOwnAddress reports whether a connection to the target reaches the agent's own
// listener. It compares IP addresses, localhost and the names of the agent; it
// resolves no other host names.
func isOwnAddress(target *url.URL, own net.Addr, names []string) bool {
	tcp, ok := own.(*net.TCPAddr)
	if !ok || portOf(target) != strconv.Itoa(tcp.Port) {
		return false
	}
	listener := tcp.AddrPort().Addr().Unmap()
	host := hostname(target.Host)
	if slices.Contains(names, host) {
		return true
	}
	if isLocalhost(host) {
		return listener.IsUnspecified() || listener.IsLoopback()
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	switch {
	case addr == listener:
		return true
	case addr.IsUnspecified(): // Linux connects to loopback
		return listener.IsUnspecified() || listener.IsLoopback()
	default:
		return listener.IsUnspecified() && isAddressOfMachine(addr)
	}
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// isAddressOfMachine reports whether the address belongs to a network interface of
// this machine.
func isAddressOfMachine(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	interfaces, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(interfaces, func(a net.Addr) bool {
		prefix, ok := a.(*net.IPNet)
		return ok && prefix.IP.Equal(addr.WithZone("").AsSlice())
	})
}

// listenUnix creates a socket with [socketMode]. Other users cannot connect at any time,
// also not between the creation of the socket and a change of its mode.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	return bindUnix(ctx, path)
}

// removeStale removes a socket on which no process listens, such as the socket of an
// agent that was killed.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil //nolint:nilerr // bind reports what is wrong with the path
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("want a socket that is not in use, found that another process listens on %q", path)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return err
}
