package upstream

import (
	"net"
	"net/url"
)

// An address is a URL with one of three schemes: http or https with a host, or unix with
// the absolute path of a socket as its opaque part, such as unix:/run/schedule.sock.

// unixScheme is the scheme of the URL of a Unix socket.
const unixScheme = "unix"

// UnixURL returns the URL of the Unix socket at an absolute path.
func UnixURL(path string) *url.URL { return &url.URL{Scheme: unixScheme, Opaque: path} }

// IsUnix reports whether u is the URL of a Unix socket.
func IsUnix(u *url.URL) bool { return u.Scheme == unixScheme }

// Name returns the host:port of an address, with the scheme's default port if the URL has
// none, or the URL of a Unix socket.
func Name(u *url.URL) string {
	switch {
	case IsUnix(u):
		return u.String()
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	default:
		return net.JoinHostPort(u.Hostname(), "80")
	}
}

// Endpoint returns the network and the address for [net.Dial].
func Endpoint(u *url.URL) (network, address string) {
	if IsUnix(u) {
		return "unix", u.Opaque
	}
	return "tcp", Name(u)
}

// Origin returns the scheme and the Host of requests to an address. A Unix socket gets
// unencrypted requests for localhost.
func Origin(u *url.URL) (scheme, host string) {
	if IsUnix(u) {
		return "http", "localhost"
	}
	return u.Scheme, u.Host
}
