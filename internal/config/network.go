package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// address is host:port to listen on. The host may be empty, an IP address or a
// name; the port is a number.
type address string

func (a *address) UnmarshalText(text []byte) error {
	s := string(text)
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isHost(host) {
		return errors.New(quote(s))
	}
	if port == "" {
		return fmt.Errorf("no port in %s", quote(s))
	}
	if _, err := portNumber(port); err != nil {
		return fmt.Errorf("port %s in %s", quote(port), quote(s))
	}
	*a = address(s)
	return nil
}

func portNumber(s string) (uint64, error) {
	if strings.HasPrefix(s, "+") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 10, 16)
}

// isHost is generous: the system has the last word when it binds.
func isHost(s string) bool {
	return s == "" || httpguts.ValidHostHeader(s) && !strings.ContainsAny(s, `/?#@'"`)
}

// split is the host and the port, the host empty when it is every address.
func (a address) split() (host, port string) {
	host, port, _ = net.SplitHostPort(string(a)) // UnmarshalText has taken it
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = ""
	}
	return host, port
}

// clashes says whether both cannot be bound at once.
func (a address) clashes(b address) bool {
	hostA, portA := a.split()
	hostB, portB := b.split()
	if portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || hostA == "" || hostB == ""
}

func (a address) isLoopback() bool {
	host, _ := a.split()
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// headerName is a field name (RFC 9110, section 5.1) that the gateway does not
// need for itself.
type headerName string

func (h *headerName) UnmarshalText(text []byte) error {
	s := string(text)
	if !httpguts.ValidHeaderFieldName(s) {
		return errors.New(quote(s))
	}
	if isReserved(s) {
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*h = headerName(s)
	return nil
}

// isReserved covers the connection's own fields, what the gateway tells the
// upstream, and fields whose content would be logged or forwarded elsewhere.
// Case, _ and - are one, as CGI and WSGI upstreams have it.
func isReserved(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if strings.HasPrefix(name, "x-client-") || strings.HasPrefix(name, "x-forwarded-") {
		return true
	}
	return slices.Contains([]string{
		"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer", "upgrade",
		"keep-alive", "expect", "authorization", "proxy-authorization", "proxy-authenticate", "proxy-connection",
		"cookie", "set-cookie", "forwarded", "x-request-id",
	}, name)
}

// upstream is scheme, host and port. Its path is empty.
type upstream struct {
	url *url.URL
}

func (u *upstream) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "@") { // before anything can quote a password
		return errors.New("a URL with user information")
	}
	parsed, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%s, which is no URL", quote(s))
	}
	if problem := upstreamProblem(parsed, s); problem != "" {
		return fmt.Errorf("%s in %s", problem, quote(s))
	}
	u.url = &url.URL{Scheme: parsed.Scheme, Host: parsed.Host}
	return nil
}

func upstreamProblem(u *url.URL, text string) string {
	port := u.Port()
	number, err := portNumber(port)
	switch {
	case u.Scheme == "":
		return "no scheme"
	case u.Scheme != "http" && u.Scheme != "https":
		return "scheme " + quote(u.Scheme)
	case u.Hostname() == "" || !isHost(u.Hostname()):
		return "no host"
	case strings.HasSuffix(u.Host, ":"):
		return "no port after the colon"
	case port != "" && (err != nil || number == 0):
		return "port " + quote(port)
	case strings.ContainsAny(text, "?#"):
		return "a query or a fragment"
	case u.Path != "" && u.Path != "/":
		return "a path"
	default:
		return ""
	}
}
