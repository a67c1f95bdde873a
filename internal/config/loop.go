package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// machine returns the addresses and the name of the host. Its methods use no name
// server, which could delay the start.
type machine struct {
	addresses func() ([]net.Addr, error)
	hostname  func() (string, error)
}

// thisMachine returns the machine that runs the process.
func thisMachine() machine { return machine{net.InterfaceAddrs, os.Hostname} }

// listener is a listener of the gateway with the variable that sets its address.
type listener struct {
	variable string
	addr     address
}

// listeners returns the enabled listeners in the order of the documentation.
func listeners(v variables) []listener {
	var list []listener
	for _, l := range []listener{
		{"LISTEN_ADDR", v.ListenAddr}, {"ADMIN_ADDR", v.AdminAddr}, {"AUTHZ_ADDR", v.AuthzAddr}, {"AUTHZ_GRPC_ADDR", v.AuthzGRPCAddr},
	} {
		if l.addr != "" {
			list = append(list, l)
		}
	}
	return list
}

// checkUpstreams adds a fault for an UPSTREAM_URL that is an address of the gateway: a
// request would be forwarded in a loop until the gateway is overloaded.
func (l *loader) checkUpstreams(v variables) {
	if l.hasFault("UPSTREAM_URL") {
		return
	}
	for _, u := range v.Upstreams.list {
		for _, own := range listeners(v) {
			if l.hasFault(own.variable) || own.variable == "LISTEN_ADDR" && l.inheritsSocket() {
				continue
			}
			if thisMachine().reaches(u, own.addr) {
				l.addFault("UPSTREAM_URL", loopProblem(u, own.variable, string(own.addr)))
			}
		}
	}
}

// inheritsSocket reports whether the service manager passes the public listener to
// this process (sd_listen_fds(3)). LISTEN_ADDR has no effect then.
func (l *loader) inheritsSocket() bool {
	return l.environ["LISTEN_FDS"] != "" && l.environ["LISTEN_PID"] == strconv.Itoa(os.Getpid())
}

// CheckInherited returns an [*Error] if UPSTREAM_URL contains the address of an
// inherited listener, which replaces LISTEN_ADDR.
func (c Config) CheckInherited(listening net.Addr) error {
	own := address(listening.String())
	for _, u := range c.Upstreams {
		loops := listening.Network() == "tcp" && thisMachine().reaches(u, own)
		if network, path := upstream.Endpoint(u); network == "unix" {
			loops = listening.Network() == network && listening.String() == path
		}
		if loops {
			return &Error{Faults: []Fault{{"UPSTREAM_URL", loopProblem(u, "inherited socket", string(own))}}}
		}
	}
	return nil
}

// loopProblem returns the fault for an upstream address that is a listener's.
func loopProblem(u *url.URL, variable, addr string) string {
	return fmt.Sprintf("found %s, which is the gateway's own %s %s, want the address of the service", quote(u.String()), variable, quote(addr))
}

// reaches reports whether a connection to u reaches the listener with the address own
// on this machine. It recognizes localhost and the machine's host name. Any other name
// reaches the listener only if the listener has the same name.
func (m machine) reaches(u *url.URL, own address) bool {
	host, port := own.split()
	if upstream.IsUnix(u) || port == "0" || port != upstreamPort(u) {
		return false
	}
	target := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "" {
		return m.isLocal(target)
	}
	listens, err := netip.ParseAddr(strings.ToLower(host))
	if err != nil {
		return sameName(strings.TrimSuffix(strings.ToLower(host), "."), target)
	}
	listens = listens.Unmap()
	if isLocalhost(target) {
		return listens.IsLoopback()
	}
	ip, err := netip.ParseAddr(target)
	if err != nil {
		return false
	}
	// The kernel treats a connection to an unspecified address as one to loopback.
	return ip.Unmap() == listens || ip.Unmap().IsUnspecified() && listens.IsLoopback()
}

// isLocal reports whether a connection to the host target reaches a listener on all
// addresses of the machine.
func (m machine) isLocal(target string) bool {
	ip, err := netip.ParseAddr(target)
	if err != nil {
		name, err := m.hostname()
		return isLocalhost(target) || err == nil && strings.EqualFold(name, target)
	}
	ip = ip.Unmap()
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	list, err := m.addresses()
	if err != nil { // a sandbox may forbid the call; the check is not a security boundary
		return false
	}
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Unmap().WithZone("") == ip.WithZone("") {
			return true
		}
	}
	return false
}

// sameName reports whether the host name of a listener and the host of an upstream are
// the same host.
func sameName(name, target string) bool {
	if !isLocalhost(name) {
		return name == target
	}
	ip, err := netip.ParseAddr(target)
	if err != nil {
		return isLocalhost(target)
	}
	ip = ip.Unmap()
	return ip.IsUnspecified() || ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback()
}

// isLocalhost reports whether a name stands for the loopback address (RFC 6761,
// section 6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// upstreamPort returns the port of a URL, or the default port of its scheme.
func upstreamPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "https":
		return "443"
	case port == "":
		return "80"
	default:
		return strings.TrimLeft(port, "0")
	}
}
