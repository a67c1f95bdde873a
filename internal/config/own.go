package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// machine answers what addresses and name this host has. No method asks a name
// server, which could delay the start.
type machine struct {
	addresses func() ([]net.Addr, error)
	hostname  func() (string, error)
}

func thisMachine() machine { return machine{net.InterfaceAddrs, os.Hostname} }

// listener is one of the gateway's own, by the variable that sets its address.
type listener struct {
	variable string
	addr     address
}

// listeners lists those that are on, in the order of the documentation.
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

// compareUpstreams refuses an UPSTREAM_URL that leads back to the gateway: each
// request would be forwarded in a circle until the gateway is overloaded.
func (l *loader) compareUpstreams(v variables) {
	if l.has("UPSTREAM_URL") {
		return
	}
	for _, u := range v.Upstreams.list {
		for _, own := range listeners(v) {
			if l.has(own.variable) || own.variable == "LISTEN_ADDR" && l.inheritsSocket() {
				continue
			}
			if thisMachine().reaches(u, own.addr) {
				l.add("UPSTREAM_URL", ownAddress(u, own.variable, string(own.addr)))
			}
		}
	}
}

// inheritsSocket reports whether the service manager passes the public listener to
// this process (sd_listen_fds(3)), so that LISTEN_ADDR is not used.
func (l *loader) inheritsSocket() bool {
	return l.environ["LISTEN_FDS"] != "" && l.environ["LISTEN_PID"] == strconv.Itoa(os.Getpid())
}

// CheckInherited refuses an UPSTREAM_URL that leads back to a listener that was
// inherited instead of opened at LISTEN_ADDR.
func (c Config) CheckInherited(listening net.Addr) error {
	own := address(listening.String())
	for _, u := range c.Upstreams {
		if listening.Network() == "tcp" && thisMachine().reaches(u, own) {
			return &Error{Faults: []Fault{{"UPSTREAM_URL", ownAddress(u, "inherited socket", string(own))}}}
		}
	}
	return nil
}

func ownAddress(u *url.URL, variable, addr string) string {
	return fmt.Sprintf("found %s, which is the gateway's own %s %s, want the address of the service", quote(u.String()), variable, quote(addr))
}

// reaches reports whether a connection to u ends at a listener of this machine. Of
// names it knows localhost and the machine's own, and of others only whether they
// are equal.
func (m machine) reaches(u *url.URL, own address) bool {
	host, port := own.split()
	if port == "0" || port != upstreamPort(u) {
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
	// The system takes a connection to an unspecified address for one to loopback.
	return ip.Unmap() == listens || ip.Unmap().IsUnspecified() && listens.IsLoopback()
}

// isLocal reports whether a listener on all addresses is reached at a host.
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
	if err != nil { // the sandbox may forbid to ask; the check is a help, not a guard
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

// sameName compares a listener's name with an upstream's host.
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

// isLocalhost reports whether a name is that of the loopback address (RFC 6761,
// section 6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// upstreamPort is the port of a URL, or its scheme's.
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
